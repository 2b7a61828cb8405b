// Compares every instruction set that this CPU can run with the formulas in double precision, for machines and
// builds without Python (emulators, sanitizers).  Prints one line for each; exits with 1 if one is wrong.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "block_ops.h"
#include "symmetric_attention.h"

namespace {

enum Kind { NONE, LOWRANK, PAIRWISE, RELATIVE, STANDARD, KINDS };

struct Case {
  int64_t heads, size, tokens, first, start, keys;
  bool causal, cached;
  nf_precision precision, cache_precision;
  Kind kind;
  std::vector<float> c_kv, q, a, b, p, bias;
  int64_t rank;
};

typedef std::mt19937 Random;

int64_t pick(Random& random, int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(random);
}

std::vector<float> draw(Random& random, int64_t count, float spread) {
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

Case draw_case(Random& random) {
  Case c = {};
  c.heads = pick(random, 1, 3);
  c.size = pick(random, 0, 2) ? pick(random, 1, 70) : 64;
  c.tokens = pick(random, 0, 3) ? pick(random, 1, 150) : pick(random, 1, 4);
  c.cached = pick(random, 0, 1);
  c.causal = pick(random, 0, 1);
  c.start = pick(random, 0, 1) ? pick(random, 0, c.tokens - 1) : 0;
  c.first = c.cached ? pick(random, 0, c.start) : 0;
  c.keys = pick(random, 0, 1) ? c.tokens : pick(random, 1, c.tokens);
  c.precision = pick(random, 0, 1) ? NF_INT8 : NF_FLOAT32;
  c.cache_precision = pick(random, 0, 1) ? NF_INT8 : NF_FLOAT32;
  c.kind = static_cast<Kind>(pick(random, 0, KINDS - 1));
  c.c_kv = draw(random, c.tokens * 2 * c.heads * c.size, 1);
  c.rank = pick(random, 1, c.size < 8 ? c.size : 8);
  if (c.kind == STANDARD) c.q = draw(random, c.tokens * c.heads * c.size, 1);
  if (c.kind == LOWRANK)
    c.a = draw(random, c.heads * c.size * c.rank, 0.3f), c.b = draw(random, c.heads * c.size * c.rank, 0.3f);
  if (c.kind == PAIRWISE) c.p = draw(random, c.heads * c.size * c.size, 0.5f / std::sqrt(static_cast<float>(c.size)));
  if (c.kind == RELATIVE) c.bias = draw(random, c.heads * c.tokens, 1);
  return c;
}

std::vector<double> expected(const Case& c) {
  const int64_t size = c.size, row = 2 * c.heads * size;
  std::vector<double> out;
  for (int64_t i = c.start; i < c.tokens; ++i)
    for (int64_t h = 0; h < c.heads; ++h) {
      std::vector<double> q(static_cast<size_t>(size)), shares, sum(static_cast<size_t>(size));
      const float* k = &c.c_kv[static_cast<size_t>(i * row + h * size)];
      for (int64_t x = 0; x < size; ++x) {
        q[x] = c.kind == STANDARD ? c.q[static_cast<size_t>((i * c.heads + h) * size + x)] : k[x];
        if (c.kind == PAIRWISE)
          for (int64_t y = 0; y < size; ++y)
            q[x] += static_cast<double>(k[y]) * c.p[static_cast<size_t>((h * size + y) * size + x)];
        if (c.kind == LOWRANK)
          for (int64_t r = 0; r < c.rank; ++r)
            for (int64_t y = 0; y < size; ++y)
              q[x] += static_cast<double>(k[y]) * c.a[static_cast<size_t>((h * size + y) * c.rank + r)] *
                      c.b[static_cast<size_t>((h * size + x) * c.rank + r)];
      }
      double largest = -1e300, total = 0;
      const int64_t seen = c.causal && i + 1 < c.keys ? i + 1 : c.keys;
      for (int64_t j = 0; j < seen; ++j) {
        double score = 0;
        for (int64_t x = 0; x < size; ++x) score += q[x] * c.c_kv[static_cast<size_t>(j * row + h * size + x)];
        score /= std::sqrt(static_cast<double>(size));
        if (c.kind == RELATIVE) score += c.bias[static_cast<size_t>(h * c.tokens + std::abs(i - j))];
        shares.push_back(score);
        largest = std::max(largest, score);
      }
      for (int64_t j = 0; j < seen; ++j) {
        const double share = std::exp(shares[j] - largest);
        total += share;
        for (int64_t x = 0; x < size; ++x)
          sum[x] += share * c.c_kv[static_cast<size_t>(j * row + (c.heads + h) * size + x)];
      }
      for (double value : sum) out.push_back(value / total);
    }
  return out;
}

// With a cache: one call for the tokens before `first`, a second one for the others, whose queries may start later.
std::vector<float> computed(const Case& c) {
  const int64_t row = 2 * c.heads * c.size, capacity = c.tokens + 3;
  std::vector<float> out;
  std::vector<char> k(static_cast<size_t>(c.heads * capacity * c.size) * sizeof(float)), v(k.size());
  std::vector<float> k_scale(static_cast<size_t>(c.heads * capacity)), v_scale(k_scale.size());
  const nf_cache cache = {c.cache_precision, capacity, k.data(), v.data(), k_scale.data(), v_scale.data()};
  const auto run = [&](int64_t first, int64_t start, int64_t end, int64_t keys) {
    nf_attention call = {};
    call.heads = c.heads;
    call.head_size = c.size;
    call.queries = end - start;
    call.start = start;
    call.first = first;
    call.rows = end - first;
    call.keys = keys;
    call.causal = c.causal;
    call.scale = 1 / std::sqrt(static_cast<float>(c.size));
    call.precision = c.precision;
    if (c.kind == STANDARD) call.q = {&c.q[static_cast<size_t>(start * c.heads * c.size)], c.size, c.heads * c.size};
    call.k = {&c.c_kv[static_cast<size_t>(first * row)], c.size, row};
    call.v = {call.k.data + c.heads * c.size, c.size, row};
    call.noise_a = c.a.empty() ? nullptr : c.a.data();
    call.noise_b = c.b.empty() ? nullptr : c.b.data();
    call.rank = c.rank;
    call.noise_p = c.p.empty() ? nullptr : c.p.data();
    call.bias = c.bias.empty() ? nullptr : c.bias.data();
    call.positions = c.tokens;
    call.cache = c.cached ? &cache : nullptr;
    out.assign(static_cast<size_t>(call.queries * c.heads * c.size), NAN);
    call.out = out.data();
    std::vector<char> scratch(nf_attention_scratch_bytes(&call, 1));
    const nf_status status = nf_attention_run(&call, scratch.data(), scratch.size(), 1, nullptr, nullptr);
    if (status != NF_OK) std::fprintf(stderr, "%s\n", nf_status_text(status)), std::exit(1);
  };
  if (c.first > 0) run(0, 0, c.first, c.first);
  run(c.first, c.start, c.tokens, c.keys);
  return out;
}

// Root mean square of the difference.
double error_of(const Case& c) {
  const std::vector<float> got = computed(c);
  const std::vector<double> want = expected(c);
  double sum = 0;
  for (size_t i = 0; i < want.size(); ++i) sum += (got[i] - want[i]) * (got[i] - want[i]);
  return std::sqrt(sum / static_cast<double>(want.size()));
}

// The largest difference from the formula in double precision, relative to 1 + |x|.
double gelu_error() {
  std::vector<float> x;
  for (int i = -3003; i <= 3003; ++i) x.push_back(static_cast<float>(i) / 100);
  x.push_back(1e30f), x.push_back(-1e30f), x.push_back(0);
  std::vector<float> out(x.size());
  if (nf_gelu_new(x.data(), static_cast<int64_t>(x.size()), out.data()) != NF_OK) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double v = x[i], want = v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    worst = std::max(worst, std::abs(out[i] - want) / (1 + std::abs(v)));
  }
  return worst;
}

bool check(const std::string& isa, int cases) {
  setenv("NF_EDGE_ISA", isa.c_str(), 1);
  Random random(1);
  double worst[2] = {};
  for (int i = 0; i < cases; ++i) {
    const Case c = draw_case(random);
    const bool int8 = c.precision == NF_INT8 || (c.cached && c.cache_precision == NF_INT8);
    const double error = error_of(c);
    if (!(error <= worst[int8])) worst[int8] = error;
  }
  std::printf("%s float32 %.2g int8 %.2g\n", isa.c_str(), worst[0], worst[1]);
  return worst[0] < 5e-6 && worst[1] < 0.05 && gelu_error() < 5e-7;
}

// LayerNorm of a few rows, in place; the largest difference from the formula in double precision.
double norm_error(int64_t width) {
  Random random(static_cast<unsigned>(width));
  const int64_t rows = 3;
  std::vector<float> x = draw(random, rows * width, 3), weight = draw(random, width, 1), bias = draw(random, width, 1);
  const std::vector<float> before = x;
  nf_layer_norm(x.data(), rows, width, weight.data(), bias.data(), 1e-5f, x.data());
  double worst = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const float* from = &before[static_cast<size_t>(row * width)];
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; ++i) mean += from[i] / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) variance += (from[i] - mean) * (from[i] - mean) / static_cast<double>(width);
    for (int64_t i = 0; i < width; ++i) {
      const double want =
          (from[i] - mean) / std::sqrt(variance + 1e-5) * weight[static_cast<size_t>(i)] + bias[static_cast<size_t>(i)];
      worst = std::max(worst, std::abs(x[static_cast<size_t>(row * width + i)] - want));
    }
  }
  return worst;
}

} // namespace

int main() {
  std::istringstream names(nf_isa_available());
  bool good = true;
  for (std::string isa; names >> isa;) good &= check(isa, 200);
  for (int64_t width : {1, 2, 15, 16, 17, 100, 768}) good &= norm_error(width) < 1e-5;
  return good ? 0 : 1;
}
