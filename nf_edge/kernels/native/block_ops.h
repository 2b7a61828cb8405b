// What lies between attention and the linear layers of a block, for callers that share it among threads:
// ExecuTorch's own layer norm runs on one, and XNNPACK's passes of a written-out GELU read it again and again.
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

// GPT-2's GELU: x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).  `out` may be `x`.  Does nothing where NF_EDGE_ISA
// names an instruction set that this CPU cannot run, and returns NF_UNKNOWN_ISA, else NF_OK, of nf_status.
int nf_gelu_new(const float* x, int64_t count, float* out);

#ifdef __cplusplus
}
#endif
#endif
