"""The parts of a report: tables, and lines with a title."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        right: indices of the columns that are aligned right.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...] = ()


@dataclass(frozen=True)
class Lines:
    """Lines of text; the title is "" if there is none."""

    title: str
    lines: Sequence[str]


Part = Table | Lines


def body(lines: Sequence[str]) -> Lines:
    """A part of a report: lines of text without a title."""
    return Lines("", lines)


def transposed(columns: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Convert the columns of a table to its rows."""
    return tuple(zip(*columns, strict=True))
