"""A part of a data file, so that one file gives training, validation and test data that share nothing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from nf_edge.core import strict_json
from nf_edge.model.data.columns import CONTENT_COLUMNS, TEXT_COLUMNS
from nf_edge.model.data.tables import Record

Words = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """Which of a file's content is meant.

    A text is cut at `start` and `end`, shares of its characters, each moved on to the start of a line.
    A record belongs to the part if its content, hashed to a share without its label, is from `start` to
    `end`: records that repeat a text are in one part, whatever else is in the file.

    Attributes:
        min_words: leave out rows whose text has fewer words.
        apart_from: leave out rows whose text has any of these runs of words, all of length `run_length`.
    """

    start: float = 0.0
    end: float = 1.0
    min_words: int = 0
    apart_from: frozenset[Words] = frozenset()
    run_length: int = 1

    def of_text(self, text: str) -> str:
        start, end = (_line_start(text, round(share * len(text))) for share in (self.start, self.end))
        return text[start:end]

    def of_records(self, records: Sequence[Record]) -> list[Record]:
        """The records in it, in order."""
        return [record for record in records if self == WHOLE or self._has(record)]

    def _has(self, record: Record) -> bool:
        if not self.start <= _share(record) < self.end:
            return False
        words = _words(record)
        if len(words) < self.min_words:
            return False
        return self.apart_from.isdisjoint(_runs(words, self.run_length))


WHOLE = Part()


def word_runs(records: Sequence[Record], length: int) -> frozenset[Words]:
    """Every run of so many consecutive words in the records' text."""
    return frozenset(run for record in records for run in _runs(_words(record), length))


def _line_start(text: str, position: int) -> int:
    if position in (0, len(text)):
        return position
    return text.find("\n", position - 1) + 1 or len(text)


def _share(record: Record) -> float:
    content = [record.fields.get(name) for name in CONTENT_COLUMNS]
    digest = hashlib.sha256(strict_json.dumps(content, indent=None).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48  # 48 bits, so that the share is exact and below 1


def _words(record: Record) -> list[str]:
    texts = (record.fields.get(name) for name in TEXT_COLUMNS)
    return [word for text in texts if isinstance(text, str) for word in text.split()]


def _runs(words: list[str], length: int) -> set[Words]:
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
