"""What a model is trained and validated on: something with a length that gives batches."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from nf_edge.model.data import Batch, Row, collate


class Examples(Protocol):
    def __len__(self) -> int: ...

    def length(self, index: int) -> int:
        """Number of tokens of an example."""

    def batch(self, indices: Sequence[int]) -> Batch: ...


class RowExamples:
    """Rows of a classifier or of regression."""

    def __init__(self, rows: Sequence[Row], pad_token_id: int | None) -> None:
        self.rows, self._pad_token_id = rows, pad_token_id

    def __len__(self) -> int:
        return len(self.rows)

    def length(self, index: int) -> int:
        return len(self.rows[index].input_ids)

    def batch(self, indices: Sequence[int]) -> Batch:
        return collate([self.rows[i] for i in indices], self._pad_token_id)


class BlockExamples:
    """Blocks of text, int64 [N, T + 1]: T ids, each labelled with the id that follows it."""

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
    """Examples of which a subclass makes other batches, as many and about as long."""

    def __init__(self, rows: Examples) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def length(self, index: int) -> int:
        return self._rows.length(index)


class JitteredIntensities(Varied):
    """Rows whose ids are intensities: each but 0, the background, is moved by up to `most`, at random.

    An embedding knows nothing of the order of ids; this teaches it that neighbours look alike.
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
    """Rows of which a share of the tokens, at random, is replaced by the padding token.

    No single word then decides what a text says (word dropout: Iyyer et al., 2015).
    """

    def __init__(self, rows: Examples, share: float, pad_token_id: int) -> None:
        super().__init__(rows)
        self._share, self._pad_token_id = share, pad_token_id

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        dropped = torch.rand(batch.input_ids.shape) < self._share
        ids = batch.input_ids.masked_fill(dropped, self._pad_token_id)
        return Batch(ids, batch.attention_mask, batch.labels)
