"""Symmetric attention as ONNX Runtime's operators of the domain com.microsoft.

Inputs and outputs are [B, T, H·d].  Without noise the query and the key are one tensor.  The operators handle
causal order and padding, so no T × T mask is built.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from nf_edge.backends.onnx.spec import takes_group_query


class MultiHeadAttentionForm:
    """`MultiHeadAttention` over complete rows, without a cache."""

    takes_fewer_queries = True

    def __init__(self) -> None:
        self._causal = False

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        self._causal = causal
        return None if attention_mask is None else attention_mask.to(torch.int32)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        query, key, value = _joined(q, k, v)
        y = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            [query, key, value, None, mask, _of_batch(bias)],
            {"num_heads": q.shape[1], "scale": scale, "unidirectional": int(self._causal)},
            dtype=q.dtype,
            shape=query.shape,
            version=1,
        )
        return _split(y, q)


class PastPresent:
    """Cache and attention in one class, because the operators append to the cache themselves.

    Inputs are past keys and values, [1, H, past, d]; outputs include the new tokens.  The operator is
    `GroupQueryAttention` if it supports the head size, else `MultiHeadAttention`.
    """

    # GroupQueryAttention needs one query per new key.
    takes_fewer_queries = False

    def __init__(self, past: Sequence[tuple[Tensor, Tensor]], positions: Tensor, keys: int) -> None:
        self._past, self._positions, self._keys = past, positions, keys
        self._layer = 0
        self.present: list[tuple[Tensor, Tensor]] = []
        """K and V of each layer; a layer is added when its attention is computed."""

    def advance(self, length: int) -> tuple[Tensor, int]:
        return self._positions, self._keys

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        self._layer = layer
        return k, v

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        """The index of the last key, int32 [1]; None if `attention_mask` is None.

        GroupQueryAttention requires this index.  The operators handle causal order themselves, so the other
        arguments have no effect.
        """
        return None if attention_mask is None else attention_mask.sum(dim=1).to(torch.int32) - 1

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        query, key, value = _joined(q, k, v)
        past = self._past[self._layer]
        heads, head_size = q.shape[1], q.shape[3]
        score_bias = _of_batch(bias)
        extra: dict[str, int]
        if takes_group_query(head_size):
            operator, extra = "com.microsoft::GroupQueryAttention", {"kv_num_heads": heads}
            assert mask is not None
            # There is no rotary embedding, so cos_cache, sin_cache and position_ids are None.
            inputs = [query, key, value, *past, mask, (mask + 1).squeeze(0), None, None, None, score_bias]
        else:
            operator, extra = "com.microsoft::MultiHeadAttention", {"unidirectional": 1}
            inputs = [query, key, value, None, None, score_bias, *past]
        kept = (1, heads, past[0].shape[2] + k.shape[2], head_size)
        y, keys, values = torch.onnx.ops.symbolic_multi_out(
            operator,
            inputs,
            {"num_heads": heads, "scale": scale, **extra},
            dtypes=[q.dtype] * 3,
            shapes=[query.shape, kept, kept],
            version=1,
        )
        self.present.append((keys, values))
        return _split(y, q)


def _of_batch(bias: Tensor | None) -> Tensor | None:
    """Add the batch dimension that the operators require to a score bias: [H, Tq, Tk] → [1, H, Tq, Tk]."""
    return bias[None] if bias is not None and bias.dim() == 3 else bias


def _joined(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Merge the heads of q, k and v: [B, H, T, d] → [B, T, H·d].  If q is k, both results are one tensor."""
    batch, heads, length, head_size = q.shape
    key, value = (x.transpose(1, 2).reshape(batch, -1, heads * head_size) for x in (k, v))
    if q is k:
        return key, key, value
    return q.transpose(1, 2).reshape(batch, length, heads * head_size), key, value


def _split(y: Tensor, q: Tensor) -> Tensor:
    """Split the heads again: [B, T, H·d] → [B, H, T, d], the shape of q."""
    batch, heads, length, head_size = q.shape
    return y.view(batch, length, heads, head_size).transpose(1, 2)
