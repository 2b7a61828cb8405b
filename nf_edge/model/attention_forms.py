"""Implementations ("forms") of softmax(Q Kᵀ · scale + R + mask) V, in the operators that suit a backend.

Q, K and V are [B, H, T, d].  R is the bias that some kinds of noise add to the scores
(`nf_edge.model.noise`).  With symmetric attention and no noise, Q and K are the same tensor, and a form
must not copy or transpose it twice.
"""

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# The tokens of a row to compute outputs for; "last" is the last real token.
OutputTokens = Literal["all", "first", "last"]
# Added to the score of a hidden key in float32.  Its exp() is exactly 0, and sums with it do not overflow.
HIDDEN = -1e9
# The value for float16 scores; the range of float16 is smaller.
HIDDEN_IN_HALF = -1e4
# The value for quantized scores.  Its exp() is 1e-13, and it leaves most levels for the visible scores.
HIDDEN_QUANTIZED = -30.0
# The description of MatmulForm in reports.
TWO_PRODUCTS = "two batched products around a softmax"


class AttentionForm(Protocol):
    """An implementation of attention for a backend.

    Attributes:
        takes_fewer_queries: whether the form accepts fewer queries than new keys.
    """

    takes_fewer_queries: bool

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        """The mask of hidden keys in the form's own format, made once for all layers; None if no key is
        hidden.

        Args:
            attention_mask: int64 [B, keys], 1 for real keys; None: all are real.
            positions: int64 [Tq], positions of the queries.
            keys: number of keys, including cached ones; they start at position 0.
            causal: whether later keys are hidden from a query.
        """

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """Compute attention; returns [B, H, Tq, d].

        Args:
            q: queries [B, H, Tq, d].
            k, v: keys and values [B, H, Tk, d].
            scale: factor on Q Kᵀ; 1 if it is folded into the weights.
            mask: what `mask()` returned.
            bias: R [H, Tq, Tk] or [B, H, Tq, Tk], added to the scaled scores; None: no bias.
        """


def visible_keys(attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool) -> Tensor | None:
    """The keys that each query can see: bool, broadcastable to [B, 1, Tq, Tk]; None means all keys.

    Key 0 is always visible, so every query has at least one key.

    Args:
        attention_mask: int64 [B, keys], 1 for real keys; None: all are real.
        positions: int64 [Tq], positions of the queries.
        keys: number of keys, including cached ones; they start at position 0.
        causal: whether later keys are hidden from a query.
    """
    visible = None
    if causal:
        visible = (torch.arange(keys)[None, :] <= positions[:, None])[None, None]
    if attention_mask is not None:
        real = attention_mask[:, None, None, :] != 0
        visible = real if visible is None else visible & real
    return visible


class TorchForm:
    """The reference: PyTorch's scaled_dot_product_attention."""

    takes_fewer_queries = True

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        return visible_keys(attention_mask, positions, keys, causal)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        if bias is not None and mask is not None:
            bias = torch.where(mask, bias, HIDDEN)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask if bias is None else bias, scale=scale)


class MatmulForm:
    """Two matrix products around a softmax, for backends without an attention operator.

    The mask is additive, because delegates support an addition.

    Args:
        hidden: the value added to the score of a hidden key.
    """

    takes_fewer_queries = True

    def __init__(self, hidden: float = HIDDEN) -> None:
        self._hidden = hidden

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        visible = visible_keys(attention_mask, positions, keys, causal)
        return None if visible is None else torch.where(visible, 0.0, self._hidden)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        batch, heads, queries, head_size = q.shape
        # 3-D operands, because 4-D operands would first be expanded, which copies them.
        q, k, v = (x.reshape(batch * heads, -1, head_size) for x in (q, k, v))
        scores = torch.bmm(q, k.transpose(1, 2))
        if scale != 1.0:
            scores = scores * scale
        scores = scores.view(batch, heads, queries, -1)
        if bias is not None:
            scores = scores + bias
        if mask is not None:
            scores = scores + mask
        shares = torch.softmax(scores, dim=-1).view(batch * heads, queries, -1)
        return torch.bmm(shares, v).view(batch, heads, queries, head_size)


class FloatMaskForm(MatmulForm):
    """MatmulForm for a GPU: it makes the mask by products and sums, because `where` would fetch scalars from
    the CPU.

    If a padding key comes after the query, its score is lowered twice; the sum still fits into float16.
    """

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        mask = None
        if causal:
            mask = (torch.arange(keys)[None, :] > positions[:, None]).float()[None, None] * self._hidden
        if attention_mask is not None:
            padding = attention_mask.float()[:, None, None, :] * -self._hidden + self._hidden
            mask = padding if mask is None else mask + padding
        return mask
