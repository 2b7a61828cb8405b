"""Rounded weights: integer codes, zero points, and scales."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.core.recipe.precision import Precision

# float32 weights [out, in] or tables [V, D], by the names of their modules.
Weights = Mapping[str, Tensor]


class LazyWeights(Mapping[str, Tensor]):
    """Weights that are computed each time they are read, because all of them take as much memory as a
    float32 network.

    Args:
        functions: map the name of each module to a function that computes its weights.
    """

    def __init__(self, functions: Mapping[str, Callable[[], Tensor]]) -> None:
        self._functions = dict(functions)

    @classmethod
    def joined(cls, *parts: Weights) -> "LazyWeights":
        """The weights of several mappings; later ones win."""
        return cls({name: partial(part.__getitem__, name) for part in parts for name in part})

    def __getitem__(self, name: str) -> Tensor:
        return self._functions[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._functions

    def __iter__(self) -> Iterator[str]:
        return iter(self._functions)

    def __len__(self) -> int:
        return len(self._functions)


# Values of a matrix that are rounded or packed at once.
BLOCK = 1 << 21


@dataclass(frozen=True)
class QuantizedWeight:
    """Rounded weights of a linear layer or a table.

    Attributes:
        codes: int8 [N, K], from −2^(b−1) to 2^(b−1) − 1 for b bits.
        scales: float32 [N, groups]; K / groups codes of a row share a scale.
        zeros: int8 [N, groups], the zero points; None if all zero points are 0.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None

    def in_half(self, bits: int) -> "QuantizedWeight":
        """A copy with scales rounded to float16, for a delegate that computes in float16."""
        return replace(self, scales=as_stored(self.scales, bits, torch.float16))

    def dequantized(self) -> Tensor:
        """Compute the weights, float32 [N, K]."""
        values = self.codes.view(*self.scales.shape, -1).float()
        if self.zeros is not None:
            values -= self.zeros[:, :, None]
        # In place: a table of tokens is the largest tensor of most models.
        return values.mul_(self.scales[:, :, None]).view(self.codes.shape)


def nearest(
    weight: Tensor, precision: Precision, signed: bool, stored: torch.dtype = torch.float32
) -> QuantizedWeight:
    """Round each value of a float32 matrix [N, K] to the nearest code.

    Args:
        precision: the bits, symmetry and group; the group divides K.
        signed: whether symmetric scales may be negative.  If True, the value of largest magnitude in a group
            gets the smallest code, −2^(b−1) for b bits, as in ONNX Runtime.  If that value is positive, the
            scale is negative.  If False, the scales equal torchao's, which XNNPACK needs.  They are positive,
            and rounded to bfloat16, because XNNPACK stores the scales of groups in bfloat16.
        stored: dtype of the scales in the file; codes are rounded for these stored scales.
    """
    # In blocks of rows: intermediate values of a table would take four times its memory.
    parts = [_nearest(block, precision, signed, stored) for block in _blocks(weight.detach())]
    codes, scales = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "scales"))
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return QuantizedWeight(codes, scales, torch.cat(zeros) if zeros else None)


def _blocks(matrix: Tensor) -> tuple[Tensor, ...]:
    """Split a matrix into blocks of rows with at most `BLOCK` values each, but at least one row."""
    return matrix.split(max(BLOCK // matrix.shape[1], 1))


def _nearest(weight: Tensor, precision: Precision, signed: bool, stored: torch.dtype) -> QuantizedWeight:
    assert precision.bits is not None
    rows, columns = weight.shape
    groups = weight.view(rows, -1, precision.group or columns)
    least, most = code_range(precision.bits)
    zeros = None
    if precision.symmetric:
        largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
        scales = largest / least if signed else largest.abs() / (most + 0.5)
        if not signed:
            scales = as_stored(scales, precision.bits, torch.bfloat16)
        scales = as_stored(scales, precision.bits, stored)
        counted = groups / scales
    else:
        scales, zeros = between(*groups.aminmax(dim=2, keepdim=True), precision.bits, stored)
        counted = groups / scales + zeros
        zeros = zeros.squeeze(2).to(torch.int8)
    codes = counted.round().clamp(least, most).to(torch.int8)
    return QuantizedWeight(codes.view(rows, columns), scales.squeeze(2), zeros)


def between(
    low: Tensor, high: Tensor, bits: int, stored: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Compute scales and zero points so that the codes cover the range from `low` to `high`.

    The range is extended to include 0, which is represented exactly.

    Args:
        bits: bits of a code.
        stored: dtype of the scales in the file; the scales are rounded to it.

    Returns:
        Scales and zero points, in the shape of `low`.
    """
    low, high = low.clamp(max=0), high.clamp(min=0)
    scales = as_stored((high - low) / (2**bits - 1), bits, stored)
    return scales, (code_range(bits)[0] - low / scales).round()


def as_stored(scales: Tensor, bits: int, dtype: torch.dtype) -> Tensor:
    """Round scales to numbers that `dtype` can represent and that are finite and not 0.

    bfloat16 and float32 round to nearest; float16 rounds the magnitude up.  A scale of 0 becomes 1.

    Args:
        scales: float32 or float64; the result has the same dtype as `scales`.
        bits: scales are limited so that no product of a scale and a code of this width is infinite.
    """
    info = torch.finfo(dtype)
    # A subnormal float32 has an infinite reciprocal.  float16 needs its subnormals, because it has few
    # values.
    least = info.smallest_normal * (info.eps if dtype == torch.float16 else 1)
    most = info.max / 2 ** (bits - 1)
    magnitude = scales.abs().clamp(least, most)
    held = magnitude.to(dtype)
    if dtype == torch.float16:
        # float16 subnormals are far apart, so a scale rounded down would clip the largest weight by many
        # steps.
        held = torch.where(held < magnitude, held.view(torch.int16) + 1, held.view(torch.int16)).view(dtype)
    return torch.where(scales == 0, 1.0, held.to(scales.dtype).copysign(scales))


def code_range(bits: int) -> tuple[int, int]:
    """The smallest and the largest code with this number of bits."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def pack(codes: Tensor, bits: int) -> Tensor:
    """Pack codes of 2, 4 or 8 bits: int8 [N, K] → uint8 [N, ⌈K·bits/8⌉].

    Codes are shifted so that the smallest is 0.  The first code of a byte is in its lowest bits.
    """
    return torch.cat([_pack(block, bits) for block in _blocks(codes)])


def _pack(codes: Tensor, bits: int) -> Tensor:
    counted = codes.to(torch.int16) - code_range(bits)[0]
    counted = F.pad(counted, (0, -codes.shape[1] % (8 // bits))).view(len(codes), -1, 8 // bits)
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    return (counted << shifts).sum(dim=2).to(torch.uint8)


def unpack(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack`; the result includes the codes that pad the last byte of a row."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    counted = (packed.to(torch.int16)[:, :, None] >> shifts) & (2**bits - 1)
    return (counted.flatten(1) + code_range(bits)[0]).to(torch.int8)
