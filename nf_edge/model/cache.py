"""The key/value cache of incremental decoding."""

import torch
from torch import Tensor

from nf_edge.model.config import ModelConfig


class KVCache:
    """K and V of the tokens seen so far, [B, H, n_positions, d] each a layer, and nothing else.

    Queries are never kept: with symmetric attention they are computed from K, noise and all.
    """

    def __init__(self, config: ModelConfig, batch: int = 1) -> None:
        self.length = 0
        self._layers = [
            torch.zeros(2, batch, heads, config.n_positions, config.head_size)
            for heads, _ in config.layer_sizes
        ]

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store K and V [B, H, T, d] of new tokens; returns all keys and values so far."""
        kept = self._layers[layer]
        end = self.length + k.shape[2]
        if end > kept.shape[3]:
            raise ValueError(f"{end} tokens do not fit a cache of {kept.shape[3]} positions")
        kept[0, :, :, self.length : end] = k
        kept[1, :, :, self.length : end] = v
        return kept[0, :, :, :end], kept[1, :, :, :end]
