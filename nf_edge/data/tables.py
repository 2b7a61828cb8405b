"""TSV, CSV and JSONL: bytes to records, each with the line on which it starts."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nf_edge import strict_json
from nf_edge.errors import BadInput

SUFFIXES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Record:
    """One row of a table as it was written; a row that cannot be read has a `problem` instead of fields."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


def parse_table(content: bytes, suffix: str, where: str) -> list[Record]:
    """The records of a file, in order; blank lines are skipped.

    Args:
        content: UTF-8, with or without a byte order mark.
        suffix: one of `SUFFIXES`; TSV and CSV start with a header line.

    Raises:
        BadInput: the content is no table of that kind at all.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"is not UTF-8 text (byte {error.start})", where=where) from error
    if suffix == ".jsonl":
        return list(_json_lines(text))
    rows = _tab_separated(text) if suffix == ".tsv" else _comma_separated(text, where)
    line, header = next(rows, (0, []))
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise BadInput(f"line {line}: the header names {', '.join(repeated)} twice", where=where)
    return [_record(line, header, cells) for line, cells in rows]


def _record(line: int, header: list[str], cells: list[str]) -> Record:
    if len(cells) != len(header):
        return Record(line, problem=f"has {len(cells)} columns, but the header has {len(header)}")
    return Record(line, dict(zip(header, cells, strict=True)))


def _tab_separated(text: str) -> Iterator[tuple[int, list[str]]]:
    # Quotes are plain characters here: TSV has no quoting, and GLUE's sentences hold single quotes.
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            yield line, row.removesuffix("\r").split("\t")


def _comma_separated(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    start = 1
    try:
        for cells in reader:
            if cells:
                yield start, cells
            # A quoted cell may span lines; the row is known by its first one.
            start = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"line {start}: is not CSV: {error}", where=where) from error


def _json_lines(text: str) -> Iterator[Record]:
    for line, row in enumerate(text.split("\n"), start=1):
        if not row.strip():
            continue
        try:
            document = strict_json.loads(row)
        except (ValueError, RecursionError) as error:
            yield Record(line, problem=f"is not JSON: {error}")
            continue
        if isinstance(document, dict):
            yield Record(line, document)
        else:
            yield Record(line, problem="is not a JSON object")
