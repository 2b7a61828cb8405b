"""The parts of a report: tables, and lines under a title."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        right: columns, from 0, that are aligned right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lines:
    """Lines of text, without a title where that is ""."""

    title: str
    lines: Sequence[str]


Part = Table | Lines


def body(lines: Sequence[str]) -> Lines:
    """Lines without a title."""
    return Lines("", lines)


def transposed(columns: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The rows of a table that is given by its columns."""
    return tuple(zip(*columns, strict=True))
