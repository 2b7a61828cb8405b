"""Rounded weights: integer codes, the code of 0, and the scales to multiply with."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.core.recipe.precision import Precision

# float32 weights [out, in] or tables [V, D], by the names of their modules.
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class QuantizedWeight:
    """Weights of a linear layer or a table.

    Attributes:
        codes: int8 [N, K], of b bits from −2^(b−1) to 2^(b−1) − 1.
        scales: float32 [N, groups], one for each K / groups codes of a row.
        zeros: int8 [N, groups], the codes that stand for 0; None where it is the code 0 that does.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None

    def in_half(self, bits: int) -> "QuantizedWeight":
        """The weight with scales rounded to float16, for a delegate that computes in it."""
        return replace(self, scales=as_stored(self.scales, bits, torch.float16))

    def dequantized(self) -> Tensor:
        """float32 [N, K]."""
        codes = self.codes.view(*self.scales.shape, -1).float()
        if self.zeros is not None:
            codes = codes - self.zeros[:, :, None]
        return (codes * self.scales[:, :, None]).view(self.codes.shape)


def nearest(
    weight: Tensor, precision: Precision, signed: bool, stored: torch.dtype = torch.float32
) -> QuantizedWeight:
    """Each value of a float32 matrix [N, K] rounded to the nearest.

    Args:
        precision: with bits; its group is a divisor of K.
        signed: whether scales of symmetric ones may be negative, so that the one code more that there is
            below 0 can serve the larger side of each group, as by ONNX Runtime's quantizer.  XNNPACK
            takes no negative ones, and keeps the scales of groups in bfloat16; then they are those of
            torchao, which trains with them too.
        stored: the dtype that the file has scales in; codes are rounded for the scales that it holds.
    """
    assert precision.bits is not None
    rows, columns = weight.shape
    groups = weight.detach().view(rows, -1, precision.group or columns)
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
    """The scales, and the codes of 0, with which the codes reach from one value to another; 0 is always among
    what they stand for, exactly."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scales = as_stored((high - low) / (2**bits - 1), bits, stored)
    return scales, (code_range(bits)[0] - low / scales).round()


def as_stored(scales: Tensor, bits: int, dtype: torch.dtype) -> Tensor:
    """Scales, float32 or float64, as the values of a dtype that are nearest to them (of float16: not below
    them); never 0 (1 where there is nothing to scale), and neither they nor their products with codes of so
    many bits infinite."""
    info = torch.finfo(dtype)
    # The reciprocal of a subnormal float32 is infinite; float16 has too few values to do without its own.
    least = info.smallest_normal * (info.eps if dtype == torch.float16 else 1)
    most = info.max / 2 ** (bits - 1)
    magnitude = scales.abs().clamp(least, most)
    held = magnitude.to(dtype)
    if dtype == torch.float16:
        # Its subnormals are so far apart that a smaller scale would cut the largest weight by many steps.
        held = torch.where(held < magnitude, held.view(torch.int16) + 1, held.view(torch.int16)).view(dtype)
    return torch.where(scales == 0, 1.0, held.to(scales.dtype).copysign(scales))


def code_range(bits: int) -> tuple[int, int]:
    """The least and the largest code of so many bits."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def pack(codes: Tensor, bits: int) -> Tensor:
    """int8 [N, K] → uint8 [N, ⌈K·bits/8⌉]: codes of 2, 4 or 8 bits, counted from the least, the first of a
    byte in its lowest bits."""
    counted = codes.to(torch.int16) - code_range(bits)[0]
    counted = F.pad(counted, (0, -codes.shape[1] % (8 // bits))).view(len(codes), -1, 8 // bits)
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    return (counted << shifts).sum(dim=2).to(torch.uint8)


def unpack(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack`, with what the last byte of a row is filled up with."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    counted = (packed.to(torch.int16)[:, :, None] >> shifts) & (2**bits - 1)
    return (counted.flatten(1) + code_range(bits)[0]).to(torch.int8)
