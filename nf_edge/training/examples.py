"""What a model is trained and validated on: something with a length that gives batches."""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from nf_edge.data import Batch, Row, collate


class Examples(Protocol):
    def __len__(self) -> int: ...

    def batch(self, indices: Sequence[int]) -> Batch: ...


class RowExamples:
    """Rows of a classifier or of regression."""

    def __init__(self, rows: Sequence[Row], pad_token_id: int | None) -> None:
        self._rows, self._pad_token_id = rows, pad_token_id

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: Sequence[int]) -> Batch:
        return collate([self._rows[i] for i in indices], self._pad_token_id)


class BlockExamples:
    """Blocks of text, int64 [N, T + 1]: T ids, each labelled with the id that follows it."""

    def __init__(self, blocks: Tensor) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def batch(self, indices: Sequence[int]) -> Batch:
        blocks = self._blocks[list(indices)]
        input_ids = blocks[:, :-1]
        return Batch(input_ids, torch.ones_like(input_ids), blocks[:, 1:])


class ShiftedImages:
    """Images moved by −1, 0 or 1 pixel each way, at random; token id 0 comes in at the edges."""

    def __init__(self, images: Examples, height: int, width: int) -> None:
        self._images, self._height, self._width = images, height, width

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._images.batch(indices)
        count = len(batch.input_ids)
        framed = F.pad(batch.input_ids.view(count, self._height, self._width), (1, 1, 1, 1))
        top, left = torch.randint(0, 3, (2, count, 1, 1))
        rows = top + torch.arange(self._height)[:, None]
        columns = left + torch.arange(self._width)
        shifted = framed[torch.arange(count)[:, None, None], rows, columns]
        return Batch(shifted.reshape(count, -1), batch.attention_mask, batch.labels)
