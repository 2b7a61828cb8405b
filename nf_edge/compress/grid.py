"""Rounded weights: whole codes, what of them stands for 0, and the scales that they are multiplied with."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.precision import Precision


@dataclass(frozen=True)
class Grid:
    """Weights of a linear layer or a table.

    Attributes:
        codes: int8 [N, K], of b bits from −2^(b−1) to 2^(b−1) − 1.
        scales: float32 [N, groups], one for each K / groups codes of a row.
        zeros: int8 [N, groups], the codes that stand for 0; None where it is the code 0 that does.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor | None = None

    def in_half(self) -> "Grid":
        """The same with scales that float16 holds, of a delegate that computes in it."""
        return replace(self, scales=self.scales.half().float())

    def dequantized(self) -> Tensor:
        """float32 [N, K]."""
        codes = self.codes.view(*self.scales.shape, -1).float()
        if self.zeros is not None:
            codes = codes - self.zeros[:, :, None]
        return (codes * self.scales[:, :, None]).view(self.codes.shape)


def nearest(weight: Tensor, precision: Precision, signed: bool) -> Grid:
    """Each value of a float32 matrix [N, K] rounded to the nearest.

    Args:
        precision: with bits; its group is a divisor of K.
        signed: whether scales of symmetric ones may be negative, so that the one code more that there is
            below 0 can serve the larger side of each group, as by ONNX Runtime's own quantizer.  XNNPACK
            takes none such, and keeps the scales of groups in bfloat16; then they are those of torchao, which
            trains with them too.
    """
    assert precision.bits is not None
    rows, columns = weight.shape
    groups = weight.detach().view(rows, -1, precision.group or columns)
    least, most = code_range(precision.bits)
    zeros = None
    if precision.symmetric:
        largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
        scales = largest / least if signed else (largest.abs() / (most + 0.5)).bfloat16().float()
        scales = torch.where(scales == 0, 1.0, scales)
        counted = groups / scales
    else:
        scales, zeros = between(groups.amin(2, keepdim=True), groups.amax(2, keepdim=True), precision.bits)
        counted = groups / scales + zeros
        zeros = zeros.squeeze(2).to(torch.int8)
    codes = counted.round().clamp(least, most).to(torch.int8)
    return Grid(codes.view(rows, columns), scales.squeeze(2), zeros)


def between(low: Tensor, high: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """The scales, and the codes of 0, with which the codes reach from one value to another; 0 is always among
    what they stand for, exactly."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scales = (high - low) / (2**bits - 1)
    scales = torch.where(scales == 0, 1.0, scales)
    return scales, (code_range(bits)[0] - low / scales).round()


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
