// The interface of the kernels for all instruction sets.  It must not have inline functions: the files that include
// it are compiled for different instruction sets, and the linker would keep the code of an arbitrary one.
#ifndef NF_KERNEL_H
#define NF_KERNEL_H

#include "symmetric_attention.h"

namespace nf {

// The tokens of one operand: float32 rows, or int8 rows with one scale each.  The other pointers are null.
struct Tokens {
  const float* rows;
  const int8_t* quantized;
  const float* scales;
  int64_t head_stride; // in elements
  int64_t token_stride;
  int64_t scale_head_stride;
};

struct Job {
  const nf_attention* call;
  Tokens q; // row 0 is the first query; float32
  Tokens k; // row 0 is position 0
  Tokens v;
};

struct Kernel {
  const char* name;
  // The largest number of queries in one work item.
  int64_t group;
  // Scratch bytes of one thread.
  size_t (*scratch_bytes)(const nf_attention* call);
  // Computes attention of queries first … first + count − 1 of one head, with count ≤ group.
  void (*attend)(const Job* job, int64_t head, int64_t first, int64_t count, char* scratch);
  // Quantizes rows to int8, with one scale per row so that the largest magnitude becomes 127.
  void (*quantize)(const float* rows, int64_t row_stride, int64_t count, int64_t size, int8_t* to, float* scales);
  void (*gelu_new)(const float* x, int64_t count, float* out);
};

constexpr size_t ALIGNMENT = 64;

// Up to this number of queries, attention is faster without tiles and without quantizing keys and values.
constexpr int64_t FEW = 3;

} // namespace nf

#endif
