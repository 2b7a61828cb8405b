"""Batches of rows, padded on the right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nf_edge.model.data.rows import Row


@dataclass(frozen=True)
class Batch:
    """The inputs of a model, and the labels.

    Attributes:
        input_ids: int64 [B, T], padded on the right to the longest row.
        attention_mask: int64 [B, T], 1 for real tokens, 0 for padding.
        labels: int64 [B], int64 [B, classes] for several labels per row, or float32 [B] for regression; None
            if rows have no label.
    """

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor | None


def collate(rows: Sequence[Row], pad_token_id: int | None) -> Batch:
    """One batch of all rows.  Without a padding token, padding is 0; the mask hides it."""
    length = max(len(row.input_ids) for row in rows)
    input_ids = torch.full((len(rows), length), pad_token_id or 0)
    attention_mask = torch.zeros(len(rows), length, dtype=torch.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row.input_ids)] = torch.tensor(row.input_ids)
        attention_mask[i, : len(row.input_ids)] = 1
    labels = [row.label for row in rows if row.label is not None]
    return Batch(input_ids, attention_mask, torch.tensor(labels) if labels else None)


def batches(rows: Sequence[Row], size: int, pad_token_id: int | None) -> Iterator[Batch]:
    """Batches of `size` rows in order, padded with `pad_token_id` (None: 0); the last may be smaller."""
    for start in range(0, len(rows), size):
        yield collate(rows[start : start + size], pad_token_id)


def pad(
    rows: Sequence[Row], pad_token_id: int | None, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`input_ids` and `attention_mask` of a batch, int64 [B, T], padded on the right.

    Args:
        pad_token_id: the token for padding; None: 0.
        length: T; None: the length of the longest row.
    """
    batch = collate(rows, pad_token_id)
    ids, mask = batch.input_ids.numpy(), batch.attention_mask.numpy()
    missing = (length or ids.shape[1]) - ids.shape[1]
    widths = ((0, 0), (0, missing))
    return np.pad(ids, widths, constant_values=pad_token_id or 0), np.pad(mask, widths)
