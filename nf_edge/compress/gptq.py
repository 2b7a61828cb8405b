"""int4 weights by GPTQ: each rounding error is made up for by the weights that are not rounded yet.

Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
arXiv 2210.17323.  It is written here because no library's grid is the one that is lowered: torchao 0.18's
prototype needs CUDA and the package `mslk`, and has zero-points, which XNNPACK's kernels for groups of int4
do not take; the one that ships with ONNX Runtime quantizes an ONNX file, from which no `.pte` can be made.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nf_edge.recipe import GROUP_SIZE

# Share of the mean of the Hessian's diagonal that is added to it, as in the paper.
DAMPING = 0.01
# Scales among which a group's is chosen, as shares of the one at which its largest weight becomes ±8.
SHARES = [1.16 - 0.02 * step for step in range(19)]


@dataclass(frozen=True)
class Grid:
    """int4 weights of a linear layer or a table.

    Attributes:
        codes: int8 [N, K], from −8 to 7.
        scales: float32 [N, K/32].
    """

    codes: Tensor
    scales: Tensor

    def dequantized(self) -> Tensor:
        """float32 [N, K]."""
        return self.codes * self.scales.repeat_interleave(GROUP_SIZE, dim=1)


def gptq(weight: Tensor, hessian: Tensor, signed: bool) -> Grid:
    """Quantize a matrix so that its product with inputs changes least.

    The scales are those of bfloat16, in which XNNPACK keeps them.

    Args:
        weight: float32 [N, K], K a multiple of 32.
        hessian: float [K, K], Σ x xᵀ over inputs x.
        signed: whether scales may be negative, so that the one code more that there is below 0 can serve the
            larger side of each group.  ONNX Runtime takes such scales, XNNPACK does not.
    """
    weight, factor = weight.detach().double().clone(), _factor(hessian.double())
    columns = weight.shape[1]
    codes = torch.zeros(weight.shape, dtype=torch.int8)
    scales = torch.zeros(len(weight), columns // GROUP_SIZE)
    for start in range(0, columns, GROUP_SIZE):
        end = start + GROUP_SIZE
        scale = _scales(weight[:, start:end], factor.diagonal()[start:end].reciprocal().square(), signed)
        scales[:, start // GROUP_SIZE] = scale
        errors = torch.zeros(len(weight), GROUP_SIZE, dtype=torch.float64)
        for at in range(start, end):
            codes[:, at] = (weight[:, at] / scale).round().clamp(-8, 7)
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


def _scales(group: Tensor, importance: Tensor, signed: bool) -> Tensor:
    """The scales [N] of a group [N, 32] with the least error, weighed by the importance [32] of columns."""
    largest = group.gather(1, group.abs().argmax(dim=1, keepdim=True))
    widest = torch.where(largest == 0, 1.0, largest / -8)
    best, least = torch.ones(len(group), dtype=torch.float64), torch.full((len(group),), torch.inf)
    for share in SHARES:
        scale = ((widest if signed else widest.abs()) * share).bfloat16().double()
        rounded = (group / scale).round().clamp(-8, 7) * scale
        error = ((group - rounded).square() * importance).sum(dim=1)
        better = error < least
        best, least = torch.where(better, scale[:, 0], best), torch.where(better, error, least)
    return best
