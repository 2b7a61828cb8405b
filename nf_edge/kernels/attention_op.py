"""Symmetric attention as one PyTorch operator: what a graph carries where attention is to stay whole.

`nf::symmetric_attention` is given what the projection gives, heads side by side and not transposed, and the
noise; `nf::symmetric_attention_cached` appends to a key/value cache first.  Here is the meaning of both in
plain PyTorch; `native/executorch_op.cpp` executes them in ExecuTorch.  Each has an out variant, which
ExecuTorch calls.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.model.attention_forms import Asked, visible_keys
from nf_edge.model.noise import noisy_query, relative_bias

# Highest code of a token in an int8 cache.
LARGEST = 127

_NOISE = "Tensor? noise_a, Tensor? noise_b, Tensor? noise_p, Tensor? bias"
_HOW = "int head_size, bool symmetric, float scale, str products, str queries"
_WHOLE = f"Tensor projected, {_NOISE}, Tensor? lengths, *, bool causal, {_HOW}"
_CACHED = (
    "Tensor projected, Tensor(a!) k, Tensor(b!) v, Tensor(c!)? k_scale, Tensor(d!)? v_scale, "
    f"Tensor start, {_NOISE}, *, {_HOW}"
)
library = torch.library.Library("nf", "DEF")
library.define(f"symmetric_attention({_WHOLE}) -> Tensor")
library.define(f"symmetric_attention.out({_WHOLE}, Tensor(z!) out) -> Tensor(z!)")
library.define(f"symmetric_attention_cached({_CACHED}) -> Tensor")
library.define(f"symmetric_attention_cached.out({_CACHED}, Tensor(z!) out) -> Tensor(z!)")


class NoiseTensors(NamedTuple):
    """The learned noise of a layer's heads; None for what there is not.

    Attributes:
        a, b: [H, d, r]: Q = K + (K A) Bᵀ.
        p: [H, d, d]: Q = K + K P.
        bias: [H, positions]: R[i, j] = bias[|i − j|].
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
    queries: Asked,
) -> Tensor:
    """softmax(Q Kᵀ · scale + R) V of whole rows.

    Args:
        projected: float32 [B, T, 2·H·d], K beside V; not symmetric: [B, T, 3·H·d], Q beside K beside V.
        noise_a, noise_b, noise_p, bias: as `NoiseTensors` has them.
        lengths: int64 [B], real tokens of each row; those behind are padding.  None: all are real.
        products: "float32", or "int8" where a kernel may multiply in int8; here it is float32.
        queries: which tokens get an answer.

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
    queries: Asked,
) -> Tensor:
    """The same of tokens that follow those in a cache, causal; they are appended to it first.

    Args:
        projected: [1, T, …], of the tokens at positions start … start + T − 1.
        k, v: [H, capacity, d], float32 or int8; written in place.
        k_scale, v_scale: [H, capacity] float32, of an int8 cache, else None: value = code · scale.
        start: int64 [1].
        queries: "all" or "last".

    Returns:
        float32 [1, T or 1, H·d].
    """
    q, new_k, new_v = _split(projected, head_size, symmetric)
    if symmetric:
        q = noisy_query(new_k, noise_a, noise_b, noise_p)
    first, length = int(start), projected.shape[1]
    end = first + length
    for kept, scales, new in ((k, k_scale, new_k), (v, v_scale, new_v)):
        _append(kept, scales, new[0], first)
    keys, values = (
        (kept[:, :end] if scales is None else kept[:, :end] * scales[:, :end, None])[None]
        for kept, scales in ((k, k_scale), (v, v_scale))
    )
    positions = torch.arange(first, end)
    y = _attend(q, keys, values, scale, visible_keys(None, positions, end, True), bias, positions)
    return y[:, -1:] if queries == "last" else y


def _split(projected: Tensor, head_size: int, symmetric: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Q, K and V, [B, H, T, d] each; symmetric: Q is K."""
    batch, length, width = projected.shape
    parts = 2 if symmetric else 3
    split = projected.view(batch, length, parts, width // (parts * head_size), head_size).permute(
        2, 0, 3, 1, 4
    )
    return split[0], split[-2], split[-1]


def _append(kept: Tensor, scales: Tensor | None, new: Tensor, first: int) -> None:
    """Write tokens [H, T, d] into a cache; into int8, one scale a token, its largest magnitude 127."""
    place = slice(first, first + new.shape[1])
    if scales is None:
        kept[:, place] = new
        return
    largest = new.abs().amax(dim=-1)
    scales[:, place] = largest / LARGEST
    kept[:, place] = (
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
    """[B, H, Tq, d], [B, H, Tk, d], [B, H, Tk, d] → [B, Tq, H·d]."""
    mask = visible
    if bias is not None:
        mask = relative_bias(bias, positions, k.shape[2])
        if visible is not None:
            mask = torch.where(visible, mask, -torch.inf)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale).transpose(1, 2).flatten(2)


def _fake(
    projected: Tensor, *args: object, head_size: int, symmetric: bool, queries: Asked, **how: object
) -> Tensor:
    batch, length, width = projected.shape
    return projected.new_empty(batch, length if queries == "all" else 1, width // (2 if symmetric else 3))


def _whole_out(*args: Tensor | None, out: Tensor, **how: object) -> Tensor:
    return out.copy_(torch.ops.nf.symmetric_attention(*args, **how))


def _cached_out(*args: Tensor | None, out: Tensor, **how: object) -> Tensor:
    return out.copy_(torch.ops.nf.symmetric_attention_cached(*args, **how))


library.impl("symmetric_attention", symmetric_attention, "CPU")
library.impl("symmetric_attention_cached", symmetric_attention_cached, "CPU")
library.impl("symmetric_attention.out", _whole_out, "CPU")
library.impl("symmetric_attention_cached.out", _cached_out, "CPU")
for _name in ("nf::symmetric_attention", "nf::symmetric_attention_cached"):
    torch.library.register_fake(_name, _fake, lib=library)
