"""Weights by GPTQ: each rounding error is made up for by the weights that are not rounded yet.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323.  It is written here because no library's grid is the one that is lowered: torchao 0.18's
prototype needs CUDA and the package `mslk`, and always has zero points, which XNNPACK's kernels for groups of
int4 do not take; the one that ships with ONNX Runtime quantizes an ONNX file, of which no `.pte` can be made.
"""

import torch
from torch import Tensor

from nf_edge.backends.quantized_weights import QuantizedWeight, as_stored, between, code_range
from nf_edge.core.recipe.precision import Precision

# Share of the mean of the Hessian's diagonal that is added to it, as in the paper.
DAMPING = 0.01
# Scales among which a group's is chosen, as shares of the one at which its largest weight has the least code,
# or of the one at which its weights have all the codes that there are.
SHARES = [1.16 - 0.02 * step for step in range(19)]


def gptq(weight: Tensor, hessian: Tensor, precision: Precision, signed: bool) -> QuantizedWeight:
    """Quantize a matrix so that its product with inputs changes least.

    The scales are those of bfloat16, in which XNNPACK keeps those of groups.

    Args:
        weight: float32 [N, K].
        hessian: float [K, K], Σ x xᵀ over inputs x.
        precision, signed: as of `nearest`.
    """
    assert precision.bits is not None
    weight, factor = weight.detach().double().clone(), _factor(hessian.double())
    columns = weight.shape[1]
    codes = torch.zeros(weight.shape, dtype=torch.int8)
    size, (least, most) = precision.group or columns, code_range(precision.bits)
    scales = torch.zeros(len(weight), columns // size)
    zeros = torch.zeros(scales.shape, dtype=torch.int8)
    for start in range(0, columns, size):
        end = start + size
        importance = factor.diagonal()[start:end].reciprocal().square()
        scale, zero = _scaling(weight[:, start:end], importance, precision, signed)
        scales[:, start // size], zeros[:, start // size] = scale, zero
        errors = torch.zeros(len(weight), size, dtype=torch.float64)
        for at in range(start, end):
            codes[:, at] = (weight[:, at] / scale + zero).round().clamp(least, most)
            error = (weight[:, at] - (codes[:, at] - zero) * scale) / factor[at, at]
            weight[:, at:end] -= error[:, None] * factor[at, at:end]
            errors[:, at - start] = error
        weight[:, end:] -= errors @ factor[start:end, end:]
    return QuantizedWeight(codes, scales, None if precision.symmetric else zeros)


def _factor(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped Hessian's inverse."""
    damped = in_proportion(hessian) + DAMPING * torch.eye(len(hessian), dtype=hessian.dtype)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


def in_proportion(hessian: Tensor) -> Tensor:
    """A Hessian scaled to a mean diagonal of 1.

    One that is all zeros, of inputs that were never other than 0, or not finite, says nothing of one weight
    that it does not say of another: it becomes the identity.
    """
    mean = hessian.diagonal().mean()
    return hessian / mean if 0 < mean < torch.inf else torch.eye(len(hessian), dtype=hessian.dtype)


def _scaling(group: Tensor, importance: Tensor, precision: Precision, signed: bool) -> tuple[Tensor, Tensor]:
    """The scales [N] of a group [N, G], and the codes [N] of its 0, with the least error, weighed by the
    importance [G] of columns."""
    assert precision.bits is not None
    lowest, highest = code_range(precision.bits)
    low, high = group.aminmax(dim=1, keepdim=True)
    largest = group.gather(1, group.abs().argmax(dim=1, keepdim=True))
    widest = torch.where(largest == 0, 1.0, largest / lowest)
    zero = torch.zeros_like(widest)
    best, least = (torch.ones_like(widest), zero), torch.full_like(widest, torch.inf)
    for share in SHARES:
        if precision.symmetric:
            scale = (widest if signed else widest.abs()) * share
        else:
            scale, zero = between(share * low, share * high, precision.bits)
        scale = as_stored(scale, precision.bits, torch.bfloat16)
        rounded = ((group / scale + zero).round().clamp(lowest, highest) - zero) * scale
        error = ((group - rounded).square() * importance).sum(dim=1, keepdim=True)
        better = error < least
        best = torch.where(better, scale, best[0]), torch.where(better, zero, best[1])
        least = torch.where(better, error, least)
    return best[0][:, 0], best[1][:, 0]
