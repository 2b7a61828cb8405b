// LayerNorm and GELU, for callers that split the rows among threads.  ExecuTorch's own LayerNorm uses one thread,
// and XNNPACK computes GELU's formula in several passes over memory.
#ifndef NF_BLOCK_OPS_H
#define NF_BLOCK_OPS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// out[i] = (x[i] − mean) / √(variance + epsilon) · weight + bias for each of `rows` rows of `width` floats.
// `out` may be `x`.
void nf_layer_norm(
    const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, float epsilon, float* out);

// GPT-2's GELU: x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).  `out` may be `x`.  Returns an nf_status: NF_OK, or
// NF_UNKNOWN_ISA (and computes nothing) if NF_EDGE_ISA names an instruction set that this CPU cannot run.
int nf_gelu_new(const float* x, int64_t count, float* out);

#ifdef __cplusplus
}
#endif
#endif
