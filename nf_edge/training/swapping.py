"""Other texts out of the training texts: a phrase gives way to another one of its label and length."""

from collections import defaultdict
from collections.abc import Sequence

import torch

from nf_edge.data import Batch, Row
from nf_edge.training.examples import Examples

Phrase = tuple[int, ...]


class SwappedPhrases:
    """Rows of which a share, at random, has one phrase replaced by another, the row keeping its label.

    A phrase is a run of a row's tokens that is a row itself, as in a treebank, where every constituent of a
    sentence has a label; what replaces it is a row of the same label and the same number of tokens. A model
    then meets each phrase in many surroundings and cannot learn whole rows by heart.

    Args:
        rows: in the order of `examples`.
        examples: the same rows as batches.
    """

    def __init__(self, rows: Sequence[Row], examples: Examples, share: float) -> None:
        self._examples, self._share = examples, share
        labels = {row.input_ids: row.label for row in rows}
        self._alike: dict[tuple[int, int | float | None], list[Phrase]] = defaultdict(list)
        for phrase, label in labels.items():
            self._alike[len(phrase), label].append(phrase)
        self._spans = [_spans(row.input_ids, labels) for row in rows]
        self._labels = labels

    def __len__(self) -> int:
        return len(self._examples)

    def length(self, index: int) -> int:
        return self._examples.length(index)

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._examples.batch(indices)
        ids = batch.input_ids.clone()
        wanted = (torch.rand(len(indices)) < self._share).tolist()
        draws = torch.rand(len(indices), 2).tolist()
        for i, index in enumerate(indices):
            spans = self._spans[index]
            if wanted[i] and spans:
                start, end = spans[int(draws[i][0] * len(spans))]
                phrase = tuple(ids[i, start:end].tolist())
                others = self._alike[len(phrase), self._labels[phrase]]
                ids[i, start:end] = torch.tensor(others[int(draws[i][1] * len(others))])
        return Batch(ids, batch.attention_mask, batch.labels)


def _spans(ids: Phrase, known: dict[Phrase, int | float | None]) -> list[tuple[int, int]]:
    """(start, end) of every phrase in a row, but for the whole row."""
    length = len(ids)
    return [
        (start, end)
        for start in range(length)
        for end in range(start + 1, length + 1)
        if end - start < length and ids[start:end] in known
    ]
