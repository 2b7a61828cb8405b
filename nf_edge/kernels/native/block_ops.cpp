#include "block_ops.h"

#include <cmath>

#include "isa.h"

namespace {

// Number of partial sums: the compiler vectorizes them, and long rows lose less precision.
constexpr int64_t LANES = 16;

template <class Term>
float sum_of(int64_t width, Term term) {
  float lanes[LANES] = {};
  int64_t i = 0;
  for (; i + LANES <= width; i += LANES)
    for (int64_t lane = 0; lane < LANES; ++lane) lanes[lane] += term(i + lane);
  float sum = 0;
  for (; i < width; ++i) sum += term(i);
  for (float lane : lanes) sum += lane;
  return sum;
}

} // namespace

void nf_layer_norm(
    const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, float epsilon, float* out) {
  for (int64_t row = 0; row < rows; ++row, x += width, out += width) {
    const float mean = sum_of(width, [x](int64_t i) { return x[i]; }) / static_cast<float>(width);
    const float squares = sum_of(width, [x, mean](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    const float factor = 1 / std::sqrt(squares / static_cast<float>(width) + epsilon);
    for (int64_t i = 0; i < width; ++i) out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
  }
}

int nf_gelu_new(const float* x, int64_t count, float* out) {
  const nf::Kernel* kernel = nf::chosen_kernel();
  if (!kernel) return NF_UNKNOWN_ISA;
  kernel->gelu_new(x, count, out);
  return NF_OK;
}
