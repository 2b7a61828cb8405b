"""The learned noise on symmetric scores, S = (K Kᵀ + N) / √d + R.

N is folded into the query, which is computed from K on the fly: K Kᵀ + N = Q Kᵀ with
Q = K + (K A) Bᵀ (low rank) or Q = K + K P (pairwise).  R is a bias on the finished scores.  No query
projection is stored, and the product W_K (I + A Bᵀ) is never formed.
"""

import torch
from torch import Tensor, nn


class Noise(nn.Module):
    """No noise: plain symmetric attention, whose query is K itself, the very same tensor."""

    log_sigma: nn.Parameter | None

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        # Logarithm [H] of the spread of the random noise that every score receives in training.
        self.register_parameter("log_sigma", None)

    def query(self, k: Tensor) -> Tensor:
        """[B, H, T, d] → [B, H, T, d]."""
        return k

    def score_bias(self, positions: Tensor, keys: int) -> Tensor | None:
        """R for queries at `positions` and keys from 0 on, or None: [H, Tq, keys] of int64 [Tq], and
        [B, H, Tq, keys] of [B, Tq]."""
        return None


class LowRankNoise(Noise):
    """N = (K A)(K B)ᵀ with A, B [H, d, r]."""

    def __init__(self, heads: int, head_size: int, rank: int) -> None:
        super().__init__(heads)
        self.a = nn.Parameter(torch.zeros(heads, head_size, rank))
        self.b = nn.Parameter(torch.zeros(heads, head_size, rank))

    def query(self, k: Tensor) -> Tensor:
        return noisy_query(k, self.a, self.b, None)


class PairwiseNoise(Noise):
    """N = K P Kᵀ with P [H, d, d]."""

    def __init__(self, heads: int, head_size: int) -> None:
        super().__init__(heads)
        self.p = nn.Parameter(torch.zeros(heads, head_size, head_size))

    def query(self, k: Tensor) -> Tensor:
        return noisy_query(k, None, None, self.p)


class RelativeNoise(Noise):
    """R[i, j] = bias[|i − j|] with bias [H, n_positions]."""

    def __init__(self, heads: int, positions: int) -> None:
        super().__init__(heads)
        self.bias = nn.Parameter(torch.zeros(heads, positions))

    def score_bias(self, positions: Tensor, keys: int) -> Tensor | None:
        return relative_bias(self.bias, positions, keys)


def noisy_query(k: Tensor, a: Tensor | None, b: Tensor | None, p: Tensor | None) -> Tensor:
    """Q [B, H, T, d] of K, by low-rank noise, pairwise noise or none."""
    if a is not None and b is not None:
        return k + (k @ a) @ b.transpose(-1, -2)
    return k if p is None else k + k @ p


def relative_bias(bias: Tensor, positions: Tensor, keys: int) -> Tensor:
    """R of a table [H, n_positions], for queries at `positions` and keys from 0 on: [H, Tq, keys] of int64
    [Tq], and [B, H, Tq, keys] of [B, Tq]."""
    found = bias[:, (positions[..., None] - torch.arange(keys)).abs()]
    return found if positions.dim() == 1 else found.transpose(0, 1)


def build_noise(kind: str, heads: int, head_size: int, rank: int | None, positions: int) -> Noise:
    """The noise module of a kind, its parameters at zero."""
    if kind == "lowrank":
        return LowRankNoise(heads, head_size, rank or 0)
    if kind == "pairwise":
        return PairwiseNoise(heads, head_size)
    if kind == "relative":
        return RelativeNoise(heads, positions)
    return Noise(heads)
