"""Forms of softmax(Q Kᵀ · scale + R + mask) V: the same numbers in the operators that suit a backend.

A form is given Q, K and V as [B, H, T, d].  With symmetric attention and no noise, Q *is* K: a
form must not copy or transpose K once for each side.
"""

from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

# Tokens of a row that get an answer; "last" is the last real one.
Asked = Literal["all", "first", "last"]
# Added to a hidden score in float32: exp() of it is exactly 0, and no sum with it overflows.
HIDDEN = -1e9
# The same in float16, which has no such number.
HIDDEN_IN_HALF = -1e4
# The same where scores are rounded to the levels of their range: exp() of it is 1e-13, and the scores beside
# it keep most of the levels.
HIDDEN_QUANTIZED = -30.0
# How backends are told to compute it that have no operator for it.
TWO_PRODUCTS = "two batched products around a softmax"


class AttentionForm(Protocol):
    """How attention is written for a backend.

    Attributes:
        takes_fewer_queries: whether there may be fewer queries than new keys.
    """

    takes_fewer_queries: bool

    def mask(
        self, attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool
    ) -> Tensor | None:
        """What hides keys, made once for all layers.

        Args:
            attention_mask: [B, keys] int64, 1 for real keys; None: all are real.
            positions: [Tq] int64, of the queries.
            keys: number of keys, at positions from 0 on (those in a cache among them).
            causal: whether a query is kept from seeing later keys.
        """

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        """[B, H, Tq, d], [B, H, Tk, d], [B, H, Tk, d] → [B, H, Tq, d].

        Args:
            scale: factor on Q Kᵀ; 1 where it is folded into the weights.
            mask: what `mask()` returned.
            bias: R [H, Tq, Tk] or [B, H, Tq, Tk], added to the scaled scores; or None.
        """


def visible_keys(attention_mask: Tensor | None, positions: Tensor, keys: int, causal: bool) -> Tensor | None:
    """Which keys a query sees: bool, broadcastable to [B, 1, Tq, Tk], or None for all of them.

    Key 0 is always real and never in the future, so no row is ever empty.
    """
    visible = None
    if causal:
        visible = (torch.arange(keys)[None, :] <= positions[:, None])[None, None]
    if attention_mask is not None:
        real = attention_mask[:, None, None, :] != 0
        visible = real if visible is None else visible & real
    return visible


class TorchForm:
    """The reference: PyTorch's own scaled_dot_product_attention."""

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
    """Two matrix products around a softmax, for backends that know no attention operator.

    The mask is additive, so that hiding costs one addition, which delegates take.

    Args:
        hidden: what is added to a hidden score.
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
        # Batched products of 3-D operands: those of 4-D ones are expanded first, which copies them.
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
    """The same for a GPU: the mask is made of products and sums, for the scalars of a `where` would come from
    the CPU.

    A key that is both padding and later than a query is hidden twice, which float16 still holds.
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
