"""The learned noise on symmetric scores, S = (K Kᵀ + N) / √d + R.

N becomes part of the query, which is computed from K: K Kᵀ + N = Q Kᵀ with Q = K + (K A) Bᵀ (low rank) or
Q = K + K P (pairwise).  R is a bias on the scaled scores.  The checkpoint has no query projection, and the
product W_K (I + A Bᵀ) is never computed.
"""

import torch
from torch import Tensor, nn


class Noise(nn.Module):
    """No noise; also the base class of the kinds of noise.  The query is K itself (the same tensor)."""

    log_sigma: nn.Parameter | None

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.heads = heads
        # log_sigma [H]: the logarithm of σ, the standard deviation of the random noise in training, per head.
        self.register_parameter("log_sigma", None)

    def query(self, k: Tensor) -> Tensor:
        """The query Q that the noise makes of the keys K, [B, H, T, d] each."""
        return k

    def score_bias(self, positions: Tensor, keys: int) -> Tensor | None:
        """The bias R for queries at `positions` (int64) and the keys at positions 0 to `keys` − 1; None for
        noise without a bias.

        Its shape is [H, Tq, keys] for positions [Tq], and [B, H, Tq, keys] for positions [B, Tq].
        """
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
    """Compute the query Q from the keys K, both [B, H, T, d].

    Args:
        a, b: A and B of low-rank noise, [H, d, r]; None for other noise.
        p: P of pairwise noise, [H, d, d]; None for other noise.
    """
    if a is not None and b is not None:
        return k + (k @ a) @ b.transpose(-1, -2)
    return k if p is None else k + k @ p


def relative_bias(bias: Tensor, positions: Tensor, keys: int) -> Tensor:
    """The bias R from a table [H, n_positions], for queries at `positions` (int64) and the keys at positions
    0 to `keys` − 1.

    Its shape is [H, Tq, keys] for positions [Tq], and [B, H, Tq, keys] for positions [B, Tq].
    """
    bias_of_distance = bias[:, (positions[..., None] - torch.arange(keys)).abs()]
    return bias_of_distance if positions.dim() == 1 else bias_of_distance.transpose(0, 1)


def build_noise(kind: str, heads: int, head_size: int, rank: int | None, positions: int) -> Noise:
    """A noise module of the given kind, with all parameters zero.

    Args:
        rank: rank of low-rank noise; None for other kinds.
        positions: number of positions, the size of relative noise.
    """
    if kind == "lowrank":
        return LowRankNoise(heads, head_size, rank or 0)
    if kind == "pairwise":
        return PairwiseNoise(heads, head_size)
    if kind == "relative":
        return RelativeNoise(heads, positions)
    return Noise(heads)
