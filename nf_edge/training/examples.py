"""Training and validation examples: numbered examples that are returned in batches."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nf_edge.model.data import Batch, Row, collate


class Examples(Protocol):
    """Examples for training or validation, numbered from 0."""

    def __len__(self) -> int: ...

    def length(self, index: int) -> int:
        """Number of tokens of the example with this index."""

    def batch(self, indices: Sequence[int]) -> Batch:
        """One batch of the examples with these indices, padded to the longest."""


class RowExamples:
    """Examples for a classifier or a regression; each example is one row."""

    def __init__(self, rows: Sequence[Row], pad_token_id: int | None) -> None:
        self.rows, self._pad_token_id = rows, pad_token_id

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        return len(self.rows[index].input_ids)

    def batch(self, indices: Sequence[int]) -> Batch:
        return collate([self.rows[i] for i in indices], self._pad_token_id)


class BlockExamples:
    """Blocks of text, int64 [N, T + 1].  Each block gives T input ids; the labels are the ids that follow
    them.
    """

    def __init__(self, blocks: Tensor) -> None:
        self._blocks = blocks

    def __len__(self) -> int:
        return len(self._blocks)

    def length(self, index: int) -> int:
        return self._blocks.shape[1] - 1

    def batch(self, indices: Sequence[int]) -> Batch:
        blocks = self._blocks[list(indices)]
        input_ids = blocks[:, :-1]
        return Batch(input_ids, torch.ones_like(input_ids), blocks[:, 1:])


class Varied:
    """Base class of examples that change at random in each batch.

    The number of examples stays the same, and their lengths hardly change.
    """

    def __init__(self, rows: Examples) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def length(self, index: int) -> int:
        return self._rows.length(index)


class JitteredIntensities(Varied):
    """Rows of intensities in which each id except 0 (the background) changes at random by up to `most`.

    Embeddings do not know the order of ids.  The changes teach the model that neighbouring intensities are
    similar.
    """

    def __init__(self, rows: Examples, most: int, vocab_size: int) -> None:
        super().__init__(rows)
        self._most, self._vocab_size = most, vocab_size

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        ids = batch.input_ids
        moved = (ids + torch.randint(-self._most, self._most + 1, ids.shape)).clamp(0, self._vocab_size - 1)
        return Batch(torch.where(ids > 0, moved, ids), batch.attention_mask, batch.labels)


class DroppedTokens(Varied):
    """Rows in which the padding token replaces a random share of the tokens.

    This way the model does not rely on single words (word dropout: Iyyer et al., 2015).
    """

    def __init__(self, rows: Examples, share: float, pad_token_id: int) -> None:
        super().__init__(rows)
        self._share, self._pad_token_id = share, pad_token_id

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        dropped = torch.rand(batch.input_ids.shape) < self._share
        ids = batch.input_ids.masked_fill(dropped, self._pad_token_id)
        return Batch(ids, batch.attention_mask, batch.labels)
