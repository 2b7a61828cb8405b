"""Symmetric attention as ONNX Runtime's MultiHeadAttention."""

import torch
from torch import Tensor


class MultiHeadAttentionForm:
    """`com.microsoft.MultiHeadAttention`: causal, padding and bias are its own, no T × T mask is built.

    The operator wants [B, T, H·d]; without noise its query and key inputs are one tensor.
    """

    def __init__(self) -> None:
        self._causal = False

    def mask(self, attention_mask: Tensor | None, start: int, length: int, causal: bool) -> Tensor | None:
        self._causal = causal
        return None if attention_mask is None else attention_mask.to(torch.int32)

    def __call__(
        self, q: Tensor, k: Tensor, v: Tensor, scale: float, mask: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        batch, heads, length, head_size = q.shape
        key, value = _joined(k), _joined(v)
        query = key if q is k else _joined(q)
        y = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            [query, key, value, None, mask, None if bias is None else bias[None]],
            {"num_heads": heads, "scale": scale, "unidirectional": int(self._causal)},
            dtype=q.dtype,
            shape=query.shape,
            version=1,
        )
        return y.view(batch, length, heads, head_size).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    """[B, H, T, d] → [B, T, H·d]."""
    batch, heads, length, head_size = x.shape
    return x.transpose(1, 2).reshape(batch, length, heads * head_size)
