"""Rounded weights: whole codes, and the scales that they are multiplied with."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """Weights of a linear layer or a table.

    Attributes:
        codes: int8 [N, K], of b bits from −2^(b−1) to 2^(b−1) − 1.
        scales: float32 [N, groups], one for each K / groups codes of a row.
    """

    codes: Tensor
    scales: Tensor

    def dequantized(self) -> Tensor:
        """float32 [N, K]."""
        return (self.codes.view(*self.scales.shape, -1) * self.scales[:, :, None]).view(self.codes.shape)


def nearest(weight: Tensor, bits: int, group: int | None, signed: bool) -> Grid:
    """Each value of a float32 matrix [N, K] rounded to the nearest.

    Args:
        group: values of a row that share a scale, a divisor of K; None is all.
        signed: whether scales may be negative, so that the one code more that there is below 0 can serve the
            larger side of each group, as by ONNX Runtime's own quantizer.  XNNPACK takes none such, and keeps
            the scales of groups in bfloat16; then they are those of torchao, which trains with them too.
    """
    rows, columns = weight.shape
    groups = weight.detach().view(rows, -1, group or columns)
    least, most = code_range(bits)
    largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
    scales = largest / least if signed else (largest.abs() / (most + 0.5)).bfloat16().float()
    scales = torch.where(scales == 0, 1.0, scales)
    codes = (groups / scales).round().clamp(least, most).to(torch.int8)
    return Grid(codes.view(rows, columns), scales.squeeze(2))


def code_range(bits: int) -> tuple[int, int]:
    """The least and the largest code of so many bits."""
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def pack(codes: Tensor, bits: int) -> Tensor:
    """int8 [N, K] → uint8 [N, K·bits/8]: codes of 2, 4 or 8 bits, counted from the least, the first of a byte
    in its lowest bits."""
    counted = (codes.to(torch.int16) - code_range(bits)[0]).view(len(codes), -1, 8 // bits)
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    return (counted << shifts).sum(dim=2).to(torch.uint8)


def unpack(packed: Tensor, bits: int) -> Tensor:
    """The inverse of `pack`."""
    shifts = torch.arange(0, 8, bits, dtype=torch.int16)
    counted = (packed.to(torch.int16)[:, :, None] >> shifts) & (2**bits - 1)
    return (counted.flatten(1) + code_range(bits)[0]).to(torch.int8)
