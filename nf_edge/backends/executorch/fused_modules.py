"""Replacements for attention, norms and GELU that call nf-edge's operators; the runtime needs their kernels.

Attention needs no transpose or copy: it reads K and V directly from the projection's output.  The kernel
computes the query from K and the noise, and never stores it.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from nf_edge.backends.executorch.decoder import PlacedCache
from nf_edge.kernels import block_ops  # noqa: F401  (registers its operators)
from nf_edge.kernels.attention_op import NoiseTensors
from nf_edge.model import ModelConfig
from nf_edge.model.attention import Attention, Pass
from nf_edge.model.noise import Noise

Products = Literal["float32", "int8"]


class Lengths:
    """An `AttentionForm` that only makes masks; the operator of `FusedAttention` computes attention.

    A mask is the number of real tokens of each row, int64 [B]; None if no token is padding.
    """

    # The operator selects its output queries itself.
    takes_fewer_queries = False

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        return None if attention_mask is None else attention_mask.sum(dim=1)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        raise TypeError("attention is one operator in this backend, so it has no form to rewrite")


class FusedAttention(nn.Module):
    """A replacement for `Attention` that computes with nf-edge's operators; projections and noise stay."""

    def __init__(self, attention: Attention, causal: bool, products: Products) -> None:
        super().__init__()
        self.symmetric = attention.symmetric
        if self.symmetric:
            self.c_kv = attention.c_kv
        else:
            self.c_attn = attention.c_attn
        self.c_proj, self.noise = attention.c_proj, attention.noise
        self._layer, self._causal = attention.layer, causal
        self._how = {
            "head_size": attention.head_size,
            "symmetric": attention.symmetric,
            "scale": attention.scale,
            "products": products,
        }

    def forward(self, x: Tensor, this: Pass) -> Tensor:
        """Compute the outputs [B, T or 1, D] of the output tokens from x, [B, T, D].

        Args:
            this: the context of the forward pass: mask, cache and output tokens.
        """
        projected = self.c_kv(x) if self.symmetric else self.c_attn(x)
        noise = noise_tensors(self.noise)
        if isinstance(this.cache, FusedCache):
            kept = this.cache.of(self._layer)
            y = torch.ops.nf.symmetric_attention_cached(
                projected, *kept, this.cache.start, *noise, queries=this.output_tokens, **self._how
            )
        else:
            y = torch.ops.nf.symmetric_attention(
                projected, *noise, this.mask, causal=self._causal, queries=this.output_tokens, **self._how
            )
        return self.c_proj(y)


class ThreadedNorm(nn.LayerNorm):
    """A replacement for a LayerNorm with the same weights; its kernel uses all threads."""

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> "ThreadedNorm":
        threaded = cls(norm.normalized_shape, norm.eps)
        threaded.weight, threaded.bias = norm.weight, norm.bias
        return threaded

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.nf.layer_norm(x, self.weight, self.bias, self.eps)


class ThreadedGelu(nn.Module):
    """A replacement for GELU by the tanh formula; its kernel reads the input once."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.nf.gelu_new(x)


def noise_tensors(noise: Noise) -> NoiseTensors:
    return NoiseTensors(*(getattr(noise, name, None) for name in NoiseTensors._fields))


class FusedCache(PlacedCache):
    """K and V of every layer in the layout of `nf::symmetric_attention_cached`: [H, capacity, d], float32 or
    int8.

    int8 has one scale per head and token.
    """

    def __init__(self, config: ModelConfig, capacity: int, dtype: Literal["float32", "int8"]) -> None:
        super().__init__(capacity)
        self._int8 = dtype == "int8"
        for layer, (heads, _) in enumerate(config.layer_sizes):
            for name in "kv":
                elements = torch.zeros(
                    heads, capacity, config.head_size, dtype=torch.int8 if self._int8 else torch.float32
                )
                self.register_buffer(f"{name}{layer}", elements, persistent=False)
                if self._int8:
                    self.register_buffer(
                        f"{name}{layer}_scale", torch.zeros(heads, capacity), persistent=False
                    )

    def of(self, layer: int) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """K, V and their scales of a layer; the scales are None for float32."""
        k, v = self.get_buffer(f"k{layer}"), self.get_buffer(f"v{layer}")
        if not self._int8:
            return k, v, None, None
        return k, v, self.get_buffer(f"k{layer}_scale"), self.get_buffer(f"v{layer}_scale")

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        raise TypeError("the attention operator itself appends to this cache")
