"""What a model is trained and validated on: something with a length that gives batches."""

from collections.abc import Sequence
from typing import Protocol

import torch
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


class JitteredIntensities:
    """Rows whose ids are intensities: each but 0, the background, is moved by up to `most`, at random.

    An embedding knows nothing of the order of ids; this teaches it that neighbours look alike.
    """

    def __init__(self, rows: Examples, most: int, vocab_size: int) -> None:
        self._rows, self._most, self._vocab_size = rows, most, vocab_size

    def __len__(self) -> int:
        return len(self._rows)

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        ids = batch.input_ids
        moved = (ids + torch.randint(-self._most, self._most + 1, ids.shape)).clamp(0, self._vocab_size - 1)
        return Batch(torch.where(ids > 0, moved, ids), batch.attention_mask, batch.labels)
