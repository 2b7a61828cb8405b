// Layer norm of rows, for what lies between attention and the linear layers: ExecuTorch's own runs on one
// thread, which is a tenth of a prompt's time where the other layers have several.
#ifndef NF_LAYER_NORM_H
#define NF_LAYER_NORM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// out[i] = (x[i] − mean) / √(variance + epsilon) · weight + bias for each of `rows` rows of `width` floats.
// `out` may be `x`.
void nf_layer_norm(
    const float* x, int64_t rows, int64_t width, const float* weight, const float* bias, float epsilon, float* out);

#ifdef __cplusplus
}
#endif
#endif
