"""An int8 softmax that returns exactly the same integers as CMSIS-NN's `arm_softmax_s8`.

ExecuTorch's model of that kernel computes in float32 instead.  The kernel uses 32-bit fixed-point functions
of gemmlowp (https://github.com/google/gemmlowp, fixedpoint/fixedpoint.h).  An exponent has 5 bits before the
binary point; an exponential has none.
"""

import torch
from torch import Tensor

from nf_edge.core.errors import BadInput

ONE = 2**31 - 1
LOWEST, HIGHEST = -128, 127
# Bits of an exponent: before the binary point, after it, and below a quarter.
INTEGER_BITS, FRACTION_BITS, QUARTER_BITS = 5, 26, 24
# exp(-1/8) and 1/3 with no bit before the binary point; exp(-2^k) for k = -2 and up.
EXP_EIGHTH, THIRD = 1_895_147_668, 715_827_883
EXP_POWERS = (1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242)
# 48/17 and -32/17 with 2 bits before the binary point: the first estimate of Newton's method for a
# reciprocal.
NEWTON_CONSTANT, NEWTON_SLOPE, NEWTON_STEPS = 1_515_870_810, -1_010_580_540, 3
# Bits before the binary point in a sum of exponentials.
SUM_BITS = 12


def softmax_int8(
    scores: Tensor,
    dim: int,
    input_zero_point: int,
    output_zero_point: int,
    multiplier: int,
    shift: int,
    least: int,
) -> Tensor:
    """`cortex_m::softmax` along the last dimension: int8 scores → int8 probabilities in steps of 1/256.

    Args:
        dim: the last dimension, or -1.
        input_zero_point: without effect, because only differences of scores count.
        output_zero_point: -128; the kernel has no other.
        multiplier, shift: fixed-point factor that converts a score less the largest score to an exponent.
        least: the smallest of these differences whose exponential is not 0.

    Raises:
        BadInput: the kernel would ignore `dim` or `output_zero_point`.
    """
    if dim not in (-1, scores.dim() - 1) or output_zero_point != LOWEST:
        raise BadInput(
            f"a softmax has dimension {dim} and zero point {output_zero_point}, but CMSIS-NN computes "
            f"it along the last dimension, with zero point {LOWEST}",
            fix="export the model again",
        )
    difference = scores.long() - scores.amax(dim=-1, keepdim=True).long()
    exponentials = _exp(_high_product(difference.clamp(min=least) << shift, torch.tensor(multiplier)))
    counted = difference >= least
    total = torch.where(counted, _rounded_shift(exponentials, SUM_BITS), 0).sum(dim=-1, keepdim=True)
    headroom = 31 - total.double().log2().floor().long()
    scale = _one_over_one_plus((total << headroom) - 2**31)
    shares = _rounded_shift(_high_product(scale, exponentials), SUM_BITS + 31 - 8 - headroom)
    return torch.where(counted, (shares + LOWEST).clamp(LOWEST, HIGHEST), LOWEST).to(torch.int8)


def _exp(exponent: Tensor) -> Tensor:
    """exp(x) of an exponent x ≤ 0.

    x is the sum of a multiple of -1/4 and a remainder from -1/4 to 0.  A polynomial around -1/8 computes exp
    of the remainder.  Products of the constants `EXP_POWERS` give exp of the multiple.
    """
    quarter = 1 << QUARTER_BITS
    rest = (exponent & (quarter - 1)) - quarter
    powers = rest - exponent
    x = (rest << INTEGER_BITS) + (1 << 28)
    square = _high_product(x, x)
    fourth = _rounded_shift(_high_product(square, square), 2)
    tail = _high_product(fourth + _high_product(square, x), torch.tensor(THIRD)) + square
    eighth = torch.tensor(EXP_EIGHTH)
    result = eighth + _high_product(eighth, x + _rounded_shift(tail, 1))
    for bit, power in enumerate(EXP_POWERS, start=QUARTER_BITS):
        result = torch.where((powers >> bit) & 1 == 1, _high_product(result, torch.tensor(power)), result)
    return torch.where(exponent == 0, ONE, result)


def _one_over_one_plus(x: Tensor) -> Tensor:
    """1 / (1 + x) for x from 0 to 1, by Newton's method for 2 / (1 + x), halved."""
    half_denominator = (x + ONE + 1) // 2
    reciprocal = NEWTON_CONSTANT + _high_product(half_denominator, torch.tensor(NEWTON_SLOPE))
    for _ in range(NEWTON_STEPS):
        error = (1 << 29) - _high_product(half_denominator, reciprocal)
        reciprocal = reciprocal + (_high_product(reciprocal, error) << 2)
    return (reciprocal << 1).clamp(max=ONE)


def _high_product(a: Tensor, b: Tensor) -> Tensor:
    """a · b / 2^31, rounded to the nearest, halves up."""
    product = a * b
    nudge = torch.where(product < 0, 1 - 2**30, 2**30)
    return torch.div(product + nudge, 2**31, rounding_mode="trunc")


def _rounded_shift(x: Tensor, bits: Tensor | int) -> Tensor:
    """x / 2^bits, rounded to the nearest, halves away from 0."""
    bits = torch.as_tensor(bits)
    mask = (torch.ones_like(bits) << bits) - 1
    threshold = (mask >> 1) + (x < 0).long()
    return (x >> bits) + ((x & mask) > threshold).long()
