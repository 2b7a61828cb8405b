"""The key/value cache of incremental decoding."""

from typing import Protocol

import torch
from torch import Tensor

from nf_edge.model.config import ModelConfig


class Cache(Protocol):
    """Keys and values of the tokens seen so far, and nothing else.

    Queries are never kept: with symmetric attention they are computed from K, noise and all.
    """

    def advance(self, length: int) -> tuple[Tensor, int]:
        """Make room for `length` tokens: their positions, int64 [length], and the number of keys that they
        meet, hidden ones among them."""

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keep K and V [B, H, T, d] of those tokens; returns what the form of attention is to be given."""


class KVCache:
    """A cache in PyTorch: [B, H, capacity, d] for K and for V of each layer."""

    def __init__(self, config: ModelConfig, batch: int = 1) -> None:
        self.length = 0
        self.capacity = config.n_positions
        self._start = 0
        self._layers = [
            torch.zeros(2, batch, heads, self.capacity, config.head_size) for heads, _ in config.layer_sizes
        ]

    def advance(self, length: int) -> tuple[Tensor, int]:
        """Raises ValueError where the tokens do not fit."""
        end = self.length + length
        if end > self.capacity:
            raise ValueError(f"{end} tokens do not fit a cache of {self.capacity} positions")
        self._start, self.length = self.length, end
        return torch.arange(self._start, end), end

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and all values so far."""
        kept = self._layers[layer]
        kept[0, :, :, self._start : self.length] = k
        kept[1, :, :, self._start : self.length] = v
        return kept[0, :, :, : self.length], kept[1, :, :, : self.length]

    def rewind(self, length: int) -> None:
        """Forget all but the first `length` tokens."""
        self.length = length
