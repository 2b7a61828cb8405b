"""GPTQ: round a matrix column by column; later columns compensate the errors of earlier ones.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", arXiv
2210.17323.

No library's GPTQ writes the format that nf-edge lowers. torchao 0.18's prototype needs CUDA and the package
`mslk`. It always adds zero points, which XNNPACK's kernels for int4 groups do not support. ONNX Runtime's
GPTQ quantizes an ONNX file, which cannot become a `.pte`.
"""

import torch
from torch import Tensor

from nf_edge.backends.quantized_weights import QuantizedWeight, as_stored, between, code_range
from nf_edge.core.recipe.precision import Precision

# The share of the Hessian's mean diagonal that is added to the diagonal (the damping), as in the paper.
DAMPING = 0.01
# Candidate scales of a group, as multiples of the scale at which its weights span exactly all codes.
SCALE_FACTORS = [1.16 - 0.02 * step for step in range(19)]


def gptq(weight: Tensor, hessian: Tensor, precision: Precision, signed: bool) -> QuantizedWeight:
    """Quantize a matrix so that its product with the calibration inputs changes as little as possible.

    Scales are rounded to bfloat16, the dtype of XNNPACK's group scales.

    Args:
        weight: float32 [N, K].
        hessian: float [K, K], Σ x xᵀ over the inputs x.
        precision: must have `bits`, and a group size that divides K.
        signed: whether scales of the rounded weights may be negative.
    """
    assert precision.bits is not None
    weight, factor = weight.detach().double().clone(), _inverse_factor(hessian.double())
    columns = weight.shape[1]
    codes = torch.zeros(weight.shape, dtype=torch.int8)
    size, (lowest, highest) = precision.group or columns, code_range(precision.bits)
    scales = torch.zeros(len(weight), columns // size)
    zeros = torch.zeros(scales.shape, dtype=torch.int8)
    for start in range(0, columns, size):
        end = start + size
        importance = factor.diagonal()[start:end].reciprocal().square()
        scale, zero = _best_scale(weight[:, start:end], importance, precision, signed)
        scales[:, start // size], zeros[:, start // size] = scale, zero
        errors = torch.zeros(len(weight), size, dtype=torch.float64)
        for column in range(start, end):
            codes[:, column] = (weight[:, column] / scale + zero).round().clamp(lowest, highest)
            error = (weight[:, column] - (codes[:, column] - zero) * scale) / factor[column, column]
            weight[:, column:end] -= error[:, None] * factor[column, column:end]
            errors[:, column - start] = error
        weight[:, end:] -= errors @ factor[start:end, end:]
    return QuantizedWeight(codes, scales, None if precision.symmetric else zeros)


def _inverse_factor(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped Hessian's inverse, float64 [K, K]."""
    damped = normalized(hessian) + DAMPING * torch.eye(len(hessian), dtype=hessian.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


def normalized(hessian: Tensor) -> Tensor:
    """A Hessian scaled to a mean diagonal of 1; the identity if it is all zeros or not finite."""
    mean = hessian.diagonal().mean()
    return hessian / mean if 0 < mean < torch.inf else torch.eye(len(hessian), dtype=hessian.dtype)


def _best_scale(
    group: Tensor, importance: Tensor, precision: Precision, signed: bool
) -> tuple[Tensor, Tensor]:
    """The scales [N] and zero points [N] of a group [N, G] that minimize the weighted rounding error.

    Args:
        importance: [G], the weight of each column's squared error.
        signed: whether scales may be negative.
    """
    assert precision.bits is not None
    lowest, highest = code_range(precision.bits)
    low, high = group.aminmax(dim=1, keepdim=True)
    largest = group.gather(1, group.abs().argmax(dim=1, keepdim=True))
    # At this scale the largest weight gets the lowest code.
    widest = torch.where(largest == 0, 1.0, largest / lowest)
    zero = torch.zeros_like(widest)
    best, least_error = (torch.ones_like(widest), zero), torch.full_like(widest, torch.inf)
    for factor in SCALE_FACTORS:
        if precision.symmetric:
            scale = (widest if signed else widest.abs()) * factor
        else:
            scale, zero = between(factor * low, factor * high, precision.bits)
        scale = as_stored(scale, precision.bits, torch.bfloat16)
        rounded = ((group / scale + zero).round().clamp(lowest, highest) - zero) * scale
        error = ((group - rounded).square() * importance).sum(dim=1, keepdim=True)
        better = error < least_error
        best = torch.where(better, scale, best[0]), torch.where(better, zero, best[1])
        least_error = torch.where(better, error, least_error)
    return best[0][:, 0], best[1][:, 0]
