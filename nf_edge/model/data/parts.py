"""Parts of a data file: one file gives training, validation and test data without overlap."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from nf_edge.core import strict_json
from nf_edge.model.data.columns import CONTENT_COLUMNS, SECOND_TEXT, TEXT_COLUMNS
from nf_edge.model.data.tables import Record

Words = tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """A part of a file, given by two shares between 0 and 1.

    A text is cut at the shares `start` and `end` of its characters, each moved forward to the start of a
    line. For a record, its content without the label is hashed to a share; the record belongs to the part if
    `start` ≤ share < `end`.  So all records with the same text, or the same pair, are in the same part.

    Attributes:
        min_words: records with fewer words are left out.
        excluded_runs: records with one of these runs of words are left out.
        run_length: number of words in each run.
        advice: the fix in the error message if no record is in the part.
    """

    start: float = 0.0
    end: float = 1.0
    min_words: int = 0
    excluded_runs: frozenset[Words] = frozenset()
    run_length: int = 1
    advice: str = field(default="give more rows", compare=False)

    def of_text(self, text: str) -> str:
        """The complete lines of a text from share `start` of its characters to share `end`."""
        start, end = (_line_start(text, round(share * len(text))) for share in (self.start, self.end))
        return text[start:end]

    def of_records(self, records: Sequence[Record]) -> list[Record]:
        """The records that belong to this part of their file, in order."""
        return [record for record in records if self == COMPLETE or self._has(record)]

    def _has(self, record: Record) -> bool:
        if not self.start <= _share(record) < self.end:
            return False
        words = _words(record)
        if len(words) < self.min_words:
            return False
        return self.excluded_runs.isdisjoint(_runs(words, self.run_length))


COMPLETE = Part()


def word_runs(records: Sequence[Record], length: int) -> frozenset[Words]:
    """Every run of `length` consecutive words in the records' texts."""
    return frozenset(run for record in records for run in _runs(_words(record), length))


def _line_start(text: str, position: int) -> int:
    if position in (0, len(text)):
        return position
    return text.find("\n", position - 1) + 1 or len(text)


def _share(record: Record) -> float:
    content = [record.fields.get(name) for name in CONTENT_COLUMNS]
    if SECOND_TEXT in record.fields:
        content.append(record.fields[SECOND_TEXT])
    digest = hashlib.sha256(strict_json.dumps(content, indent=None).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48  # 48 bits are exact in a float, and the share stays below 1


def _words(record: Record) -> list[str]:
    texts = (record.fields.get(name) for name in (*TEXT_COLUMNS, SECOND_TEXT))
    return [word for text in texts if isinstance(text, str) for word in text.split()]


def _runs(words: list[str], length: int) -> set[Words]:
    return {tuple(words[i : i + length]) for i in range(len(words) - length + 1)}
