"""Weights by GPTQ: each rounding error is made up for by the weights that are not rounded yet.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323.  It is written here because no library's grid is the one that is lowered: torchao 0.18's
prototype needs CUDA and the package `mslk`, and has zero-points, which XNNPACK's kernels for groups of int4
do not take; the one that ships with ONNX Runtime quantizes an ONNX file, from which no `.pte` can be made.
"""

import torch
from torch import Tensor

from nf_edge.compress.grid import Grid, code_range

# Share of the mean of the Hessian's diagonal that is added to it, as in the paper.
DAMPING = 0.01
# Scales among which a group's is chosen, as shares of the one at which its largest weight has the least code.
SHARES = [1.16 - 0.02 * step for step in range(19)]


def gptq(weight: Tensor, hessian: Tensor, bits: int, group: int | None, signed: bool) -> Grid:
    """Quantize a matrix so that its product with inputs changes least.

    The scales are those of bfloat16, in which XNNPACK keeps those of groups.

    Args:
        weight: float32 [N, K].
        hessian: float [K, K], Σ x xᵀ over inputs x.
        group: values of a row that share a scale, a divisor of K; None is all.
        signed: as of `nearest`.
    """
    weight, factor = weight.detach().double().clone(), _factor(hessian.double())
    columns = weight.shape[1]
    codes = torch.zeros(weight.shape, dtype=torch.int8)
    size, (least, most) = group or columns, code_range(bits)
    scales = torch.zeros(len(weight), columns // size)
    for start in range(0, columns, size):
        end = start + size
        importance = factor.diagonal()[start:end].reciprocal().square()
        scale = _scales(weight[:, start:end], importance, bits, signed)
        scales[:, start // size] = scale
        errors = torch.zeros(len(weight), size, dtype=torch.float64)
        for at in range(start, end):
            codes[:, at] = (weight[:, at] / scale).round().clamp(least, most)
            error = (weight[:, at] - codes[:, at] * scale) / factor[at, at]
            weight[:, at:end] -= error[:, None] * factor[at, at:end]
            errors[:, at - start] = error
        weight[:, end:] -= errors @ factor[start:end, end:]
    return Grid(codes, scales)


def _factor(hessian: Tensor) -> Tensor:
    """The upper Cholesky factor of the damped Hessian's inverse."""
    mean = hessian.diagonal().mean()
    # Inputs that were never other than 0 say nothing of their weights.
    damped = hessian + torch.eye(len(hessian)) * (DAMPING * mean if mean > 0 else 1)
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(damped)), upper=True)


def _scales(group: Tensor, importance: Tensor, bits: int, signed: bool) -> Tensor:
    """The scales [N] of a group [N, G] with the least error, weighed by the importance [G] of columns."""
    lowest, highest = code_range(bits)
    largest = group.gather(1, group.abs().argmax(dim=1, keepdim=True))
    widest = torch.where(largest == 0, 1.0, largest / lowest)
    best, least = torch.ones(len(group), dtype=torch.float64), torch.full((len(group),), torch.inf)
    for share in SHARES:
        scale = ((widest if signed else widest.abs()) * share).bfloat16().double()
        rounded = (group / scale).round().clamp(lowest, highest) * scale
        error = ((group - rounded).square() * importance).sum(dim=1)
        better = error < least
        best, least = torch.where(better, scale[:, 0], best), torch.where(better, error, least)
    return best
