"""Symmetric attention as one PyTorch operator, for graphs in which attention must stay a single node.

`nf::symmetric_attention` computes attention from the noise and from the output of the projection.  All heads
are side by side in this output.  `nf::symmetric_attention_cached` first appends the new tokens to a key/value
cache.  This module is the reference in PyTorch.  `native/executorch_op.cpp` implements the out variants for
ExecuTorch.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.model.attention_forms import OutputTokens, visible_keys
from nf_edge.model.noise import noisy_query, relative_bias

# Largest code in an int8 cache.
LARGEST = 127

_NOISE = "Tensor? noise_a, Tensor? noise_b, Tensor? noise_p, Tensor? bias"
_OPTIONS = "int head_size, bool symmetric, float scale, str products, str queries"
_ROWS = f"Tensor projected, {_NOISE}, Tensor? lengths, *, bool causal, {_OPTIONS}"
_CACHED = (
    "Tensor projected, Tensor(a!) k, Tensor(b!) v, Tensor(c!)? k_scale, Tensor(d!)? v_scale, "
    f"Tensor start, {_NOISE}, *, {_OPTIONS}"
)
library = torch.library.Library("nf", "DEF")
library.define(f"symmetric_attention({_ROWS}) -> Tensor")
library.define(f"symmetric_attention.out({_ROWS}, Tensor(z!) out) -> Tensor(z!)")
library.define(f"symmetric_attention_cached({_CACHED}) -> Tensor")
library.define(f"symmetric_attention_cached.out({_CACHED}, Tensor(z!) out) -> Tensor(z!)")


class NoiseTensors(NamedTuple):
    """The learned noise of a layer's heads; None for absent parameters.

    Attributes:
        a, b: [H, d, r]: Q = K + (K A) Bᵀ.
        p: [H, d, d]: Q = K + K P.
        bias: [H, positions]: R[i, j] = bias[|i − j|] is added to the scaled score of query i and key j.
    """

    a: Tensor | None = None
    b: Tensor | None = None
    p: Tensor | None = None
    bias: Tensor | None = None


def symmetric_attention(
    projected: Tensor,
    noise_a: Tensor | None,
    noise_b: Tensor | None,
    noise_p: Tensor | None,
    bias: Tensor | None,
    lengths: Tensor | None,
    *,
    causal: bool,
    head_size: int,
    symmetric: bool,
    scale: float,
    products: str,
    queries: OutputTokens,
) -> Tensor:
    """Compute softmax(Q Kᵀ · scale + R) V of complete rows.

    Args:
        projected: float32 [B, T, 2·H·d], K then V; if not symmetric, [B, T, 3·H·d], Q then K then V.
        noise_a, noise_b, noise_p, bias: as in `NoiseTensors`.
        lengths: int64 [B], number of real tokens of each row; the others are padding.  None: all are real.
        products: "float32", or "int8" if a kernel may multiply in int8; this reference always uses float32.
        queries: the tokens to compute outputs for: "all", "first", or "last" (the last real token).

    Returns:
        float32 [B, T or 1, H·d].
    """
    q, k, v = _split(projected, head_size, symmetric)
    if symmetric:
        q = noisy_query(k, noise_a, noise_b, noise_p)
    rows, _, length, _ = k.shape
    positions = torch.arange(length)
    mask = None if lengths is None else (positions[None] < lengths[:, None]).to(torch.int64)
    visible = visible_keys(mask, positions, length, causal)
    y = _attend(q, k, v, scale, visible, bias, positions)
    if queries == "first":
        return y[:, :1]
    if queries == "last":
        last = torch.full((rows,), length - 1) if lengths is None else lengths - 1
        return y[torch.arange(rows), last][:, None]
    return y


def symmetric_attention_cached(
    projected: Tensor,
    k: Tensor,
    v: Tensor,
    k_scale: Tensor | None,
    v_scale: Tensor | None,
    start: Tensor,
    noise_a: Tensor | None,
    noise_b: Tensor | None,
    noise_p: Tensor | None,
    bias: Tensor | None,
    *,
    head_size: int,
    symmetric: bool,
    scale: float,
    products: str,
    queries: OutputTokens,
) -> Tensor:
    """Append new tokens to a cache, and compute their causal attention to all cached tokens.

    Args:
        projected: [1, T, …] as for `symmetric_attention`, for positions start … start + T − 1.
        k, v: [H, capacity, d], float32 or int8; written in place.
        k_scale, v_scale: float32 [H, capacity] for an int8 cache: value = code · scale; otherwise None.
        start: int64 [1], position of the first new token.
        noise_a, noise_b, noise_p, bias: as in `NoiseTensors`.
        products: as for `symmetric_attention`.
        queries: the new tokens to compute outputs for: "all" or "last".

    Returns:
        float32 [1, T or 1, H·d].
    """
    q, new_k, new_v = _split(projected, head_size, symmetric)
    if symmetric:
        q = noisy_query(new_k, noise_a, noise_b, noise_p)
    first, length = int(start), projected.shape[1]
    end = first + length
    for cached, scales, new in ((k, k_scale, new_k), (v, v_scale, new_v)):
        _append(cached, scales, new[0], first)
    keys, values = (
        (cached[:, :end] if scales is None else cached[:, :end] * scales[:, :end, None])[None]
        for cached, scales in ((k, k_scale), (v, v_scale))
    )
    positions = torch.arange(first, end)
    y = _attend(q, keys, values, scale, visible_keys(None, positions, end, True), bias, positions)
    return y[:, -1:] if queries == "last" else y


def _split(projected: Tensor, head_size: int, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Split a projection into Q, K and V, [B, H, T, d] each; Q is K if symmetric."""
    batch, length, width = projected.shape
    parts = 2 if symmetric else 3
    split = projected.view(batch, length, parts, width // (parts * head_size), head_size).permute(
        2, 0, 3, 1, 4
    )
    return split[0], split[-2], split[-1]


def _append(cached: Tensor, scales: Tensor | None, new: Tensor, first: int) -> None:
    """Write tokens [H, T, d] to a cache, from position `first` on.

    In an int8 cache, each head and token has one scale, which makes the largest magnitude 127.

    Args:
        cached: K or V of the cache, [H, capacity, d], written in place.
        scales: [H, capacity] for an int8 cache, written in place; None for float32.
        new: the tokens, float32 [H, T, d].
    """
    slots = slice(first, first + new.shape[1])
    if scales is None:
        cached[:, slots] = new
        return
    largest = new.abs().amax(dim=-1)
    scales[:, slots] = largest / LARGEST
    cached[:, slots] = (
        (new * (LARGEST / torch.where(largest > 0, largest, 1))[..., None]).round().to(torch.int8)
    )


def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    scale: float,
    visible: Tensor | None,
    bias: Tensor | None,
    positions: Tensor,
) -> Tensor:
    """The output of attention, [B, Tq, H·d], from q [B, H, Tq, d] and k, v [B, H, Tk, d].

    Args:
        visible: the keys that each query sees, bool, broadcastable to [B, 1, Tq, Tk]; None: all.
        bias: [H, positions], as in `NoiseTensors`; None: no bias.
        positions: int64 [Tq], positions of the queries.
    """
    mask = visible
    if bias is not None:
        mask = relative_bias(bias, positions, k.shape[2])
        if visible is not None:
            mask = torch.where(visible, mask, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).transpose(1, 2).flatten(2)


def _fake(
    projected: Tensor,
    *args: object,
    head_size: int,
    symmetric: bool,
    queries: OutputTokens,
    **options: object,
) -> Tensor:
    batch, length, width = projected.shape
    return projected.new_empty(batch, length if queries == "all" else 1, width // (2 if symmetric else 3))


def _whole_out(*args: Tensor | None, out: Tensor, **options: object) -> Tensor:
    return out.copy_(torch.ops.nf.symmetric_attention(*args, **options))


def _cached_out(*args: Tensor | None, out: Tensor, **options: object) -> Tensor:
    return out.copy_(torch.ops.nf.symmetric_attention_cached(*args, **options))


library.impl("symmetric_attention", symmetric_attention, "CPU")
library.impl("symmetric_attention_cached", symmetric_attention_cached, "CPU")
library.impl("symmetric_attention.out", _whole_out, "CPU")
library.impl("symmetric_attention_cached.out", _cached_out, "CPU")
for _name in ("nf::symmetric_attention", "nf::symmetric_attention_cached"):
    torch.library.register_fake(_name, _fake, lib=library)
