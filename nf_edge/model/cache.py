"""The key/value cache of incremental decoding."""

from typing import Protocol

import torch
from torch import Tensor

from nf_edge.model.config import ModelConfig


class Cache(Protocol):
    """Keys and values of all tokens since the start.

    Queries are not stored: symmetric attention computes them from K and the noise.
    """

    def advance(self, length: int) -> tuple[Tensor, int]:
        """Make room for `length` tokens.

        Returns:
            The positions of these tokens, int64 [length], and the number of keys that attention reads,
            including hidden keys.
        """

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's K and V [B, H, T, d] of the new tokens; returns its K and V of all tokens."""


class KVCache:
    """A cache in PyTorch: float32 [B, H, capacity, d] for K and for V of each layer."""

    def __init__(self, config: ModelConfig, batch: int = 1) -> None:
        self.length = 0
        self.capacity = config.n_positions
        self._start = 0
        self._layers = [
            torch.zeros(2, batch, heads, self.capacity, config.head_size) for heads, _ in config.layer_sizes
        ]

    def advance(self, length: int) -> tuple[Tensor, int]:
        """Make room for `length` tokens, and return their positions and the number of keys.

        Raises:
            ValueError: the tokens do not fit.
        """
        end = self.length + length
        if end > self.capacity:
            raise ValueError(f"the cache has {self.capacity} positions, too few for {end} tokens")
        self._start, self.length = self.length, end
        return torch.arange(self._start, end), end

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store one layer's K and V of the new tokens; returns K and V of all tokens, [B, H, length, d]."""
        cached = self._layers[layer]
        cached[0, :, :, self._start : self.length] = k
        cached[1, :, :, self._start : self.length] = v
        return cached[0, :, :, : self.length], cached[1, :, :, : self.length]

    def rewind(self, length: int) -> None:
        """Shorten the cache to its first `length` tokens."""
        self.length = length
