// What every ISA's file provides, and what it is given.  No inline functions here: the files that include
// this are compiled for different instruction sets, and the linker would keep any one of them.
#ifndef NF_KERNEL_H
#define NF_KERNEL_H

#include "symmetric_attention.h"

namespace nf {

// Tokens of one operand, as float32 rows or as int8 rows with a scale each; the other pointer is null.
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
  // Queries that one work item may have.
  int64_t group;
  // Scratch of one thread.
  size_t (*scratch_bytes)(const nf_attention* call);
  // Attends from queries first … first + count − 1 of one head, count ≤ group.
  void (*attend)(const Job* job, int64_t head, int64_t first, int64_t count, char* scratch);
  // One scale per row, such that the largest magnitude becomes 127.
  void (*quantize)(const float* rows, int64_t row_stride, int64_t count, int64_t size, int8_t* to, float* scales);
  void (*gelu_new)(const float* x, int64_t count, float* out);
};

constexpr size_t ALIGNMENT = 64;

// So few queries are better off without tiles, and without quantizing keys and values for them alone.
constexpr int64_t FEW = 3;

} // namespace nf

#endif
