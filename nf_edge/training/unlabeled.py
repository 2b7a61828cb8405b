"""New texts without labels, made from the training texts for distillation."""

from collections import defaultdict
from collections.abc import Sequence, Set

import torch

from nf_edge.model.data import Batch, Row, collate
from nf_edge.model.data.labels import Label
from nf_edge.training.examples import Examples, Varied

Ids = tuple[int, ...]


class SwappedPhrases:
    """Rows in which a random phrase is replaced by another phrase of the same label and length.

    A phrase is a part of a row that is itself a row.  In a treebank, every constituent of a sentence is a row
    with a label.  The model sees each phrase in many contexts and cannot memorize rows.
    """

    def __init__(self, rows: Sequence[Row], share: float, pad_token_id: int | None) -> None:
        self._rows, self._share, self._pad_token_id = rows, share, pad_token_id
        self._labels = {row.input_ids: row.label for row in rows}
        self._phrases_like: dict[tuple[int, Label | None], list[Ids]] = defaultdict(list)
        for phrase, label in self._labels.items():
            self._phrases_like[len(phrase), label].append(phrase)
        self._spans = [_spans(row.input_ids, self._labels.keys()) for row in rows]

    def __len__(self) -> int:
        return len(self._rows)

    def length(self, index: int) -> int:
        return len(self._rows[index].input_ids)

    def batch(self, indices: Sequence[int]) -> Batch:
        draws = torch.rand(len(indices), 3).tolist()
        rows = [
            self._swapped(index, phrase_share, replacement_share) if draw < self._share else self._rows[index]
            for index, (draw, phrase_share, replacement_share) in zip(indices, draws, strict=True)
        ]
        return collate(rows, self._pad_token_id)

    def _swapped(self, index: int, phrase_share: float, replacement_share: float) -> Row:
        """A row with one phrase replaced; two numbers from 0 to 1 select the phrase and its replacement."""
        row, spans = self._rows[index], self._spans[index]
        if not spans:
            return row
        start, end = spans[int(phrase_share * len(spans))]
        candidates = self._phrases_like[end - start, self._labels[row.input_ids[start:end]]]
        phrase = candidates[int(replacement_share * len(candidates))]
        return Row(row.input_ids[:start] + phrase + row.input_ids[end:], row.label)


class JoinedRows(Varied):
    """Batches of texts made by joining 1 to `most` rows; they have no labels.

    Rows of labelled phrases are mostly short; joined rows are as long as sentences.

    Args:
        longest: number of tokens that joined rows are cut to.
    """

    def __init__(self, rows: Examples, most: int, longest: int, pad_token_id: int | None) -> None:
        super().__init__(rows)
        self._most, self._longest, self._pad_token_id = most, longest, pad_token_id

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        count = int(torch.randint(1, self._most + 1, ()))
        if count == 1:
            return batch
        lengths = batch.attention_mask.sum(dim=1).tolist()
        texts = [tuple(ids[:length]) for ids, length in zip(batch.input_ids.tolist(), lengths, strict=True)]
        joined = texts
        for _ in range(count - 1):
            order = torch.randperm(len(texts)).tolist()
            joined = [text + texts[other] for text, other in zip(joined, order, strict=True)]
        return collate([Row(text[: self._longest], None) for text in joined], self._pad_token_id)


class ReplacedTokens(Varied):
    """Rows in which a random share of the tokens is replaced by random tokens of the vocabulary.

    Most words of a vocabulary are rare in the data.  The teachers' probabilities for these random rows teach
    the model what the teachers know about rare words.
    """

    def __init__(self, rows: Examples, share: float, vocab_size: int) -> None:
        super().__init__(rows)
        self._share, self._vocab_size = share, vocab_size

    def batch(self, indices: Sequence[int]) -> Batch:
        batch = self._rows.batch(indices)
        replaced = (torch.rand(batch.input_ids.shape) < self._share) & batch.attention_mask.bool()
        any_ids = torch.randint(self._vocab_size, batch.input_ids.shape)
        return Batch(any_ids.where(replaced, batch.input_ids), batch.attention_mask, None)


def _spans(ids: Ids, known: Set[Ids]) -> list[tuple[int, int]]:
    """The (start, end) of every part of a row that is in `known`, except the row itself."""
    length = len(ids)
    return [
        (start, end)
        for start in range(length)
        for end in range(start + 1, length + 1)
        if end - start < length and ids[start:end] in known
    ]
