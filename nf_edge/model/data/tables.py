"""TSV, CSV and JSONL: bytes to records, each with the line on which it starts."""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput

SUFFIXES = (".tsv", ".csv", ".jsonl")
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A cell of a TSV that is quoted as in CSV, or one that does not begin with a quote; and what ends it.
QUOTED_CELL = re.compile(r'("[^"]*+(?:""[^"]*+)*+"|(?!")(?:[^\t\r\n]|\r(?!\n))*+)(\t|\r?\n|\Z)')
# Programs that quote no more than they have to quote cells with these: spreadsheets those with commas too.
NEEDS_QUOTES = re.compile(r'[",\t\n\r]')

# The line that a row starts on, and its cells.
Cells = tuple[int, list[str]]


@dataclass(frozen=True)
class Record:
    """One row of a table as it was written; a row that cannot be read has a `problem` instead of fields."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """The records of a file, in order, and what a user should know of how they were read."""

    records: list[Record]
    notes: tuple[str, ...] = ()


def parse_table(content: bytes, suffix: str, where: str) -> Table:
    """Read a table; blank lines are skipped.

    Args:
        content: UTF-8, with or without a byte order mark.
        suffix: one of `SUFFIXES`; TSV and CSV start with a header line.

    Raises:
        BadInput: the content is no table of that kind at all.
    """
    text = decode(content, where)
    if suffix != ".csv" and "\n" not in text:
        text = text.replace("\r", "\n")
    if suffix == ".jsonl":
        return Table(list(_json_lines(text)))
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"line {line}: has a NUL character", where=where, fix="save it as text, in UTF-8")
    rows, notes = _tab_separated(text) if suffix == ".tsv" else (_comma_separated(text, where), ())
    if not rows:
        return Table([])
    (line, header), *rest = rows
    header = [name.strip() for name in header]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        names = ", ".join(name or "a column without a name" for name in repeated)
        raise BadInput(f"line {line}: the header names {names} twice", where=where)
    return Table([_record(line, header, cells) for line, cells in rest], notes)


def decode(content: bytes, where: str) -> str:
    """The text of a file.

    Raises:
        BadInput: it is not UTF-8.
    """
    fix = "save it as UTF-8"
    if content.startswith(UTF_16_MARKS):
        raise BadInput("is UTF-16 text, not UTF-8", where=where, fix=fix)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"line {line}: is not UTF-8 text (byte {error.start})", where=where, fix=fix
        ) from error


def _record(line: int, header: list[str], cells: list[str]) -> Record:
    if len(cells) != len(header):
        return Record(line, problem=f"has {len(cells)} columns, but the header has {len(header)}")
    return Record(line, dict(zip(header, cells, strict=True)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), start=1))


def _tab_separated(text: str) -> tuple[list[Cells], tuple[str, ...]]:
    """Rows of a TSV, and how quotes were read.

    TSV has no quoting, and GLUE's sentences hold quotes as data; but pandas and spreadsheets quote cells as
    in CSV.  Quotes are taken for the latter's where all of them can be, in the whole file.
    """
    plain = [(line, row.split("\t")) for line, row in _lines(text) if row]
    if not any(cell.startswith('"') for _, cells in plain for cell in cells):
        return plain, ()
    quoted = _quoted_as_in_csv(text)
    if quoted is None or not _explains_quotes(quoted, _is_even([cells for _, cells in plain])):
        return plain, ("quotes that begin a cell are part of its text (they are not quoted as in CSV)",)
    unquoted = [(line, [_unquoted(cell) for cell in cells]) for line, cells in quoted]
    return unquoted, ("cells in quotes are read without them, as in CSV",)


def _quoted_as_in_csv(text: str) -> list[Cells] | None:
    """Rows whose cells may be in quotes, which are left on; None where a quote begins a cell and does not end
    it."""
    rows: list[Cells] = []
    cells: list[str] = []
    line, at = 1, 0
    while at < len(text):
        match = QUOTED_CELL.match(text, at)
        if match is None:
            return None
        cell, end = match.groups()
        cells.append(cell)
        at = match.end()
        if end != "\t":
            if cells != [""]:
                rows.append((line, cells))
            line += sum(cell.count("\n") for cell in cells) + 1
            cells = []
    # A tab ends the file: an empty cell follows it.
    return [*rows, (line, [*cells, ""])] if cells else rows


def _explains_quotes(rows: Sequence[Cells], without: bool) -> bool:
    """Whether quotes were put around cells by a program that writes CSV.

    Args:
        without: whether the file has as many cells in each line where quotes mean nothing.
    """
    table = [cells for _, cells in rows]
    if not _is_even(table):
        return False
    body = table[1:]
    for column in zip(*body, strict=True):
        quoted = [cell for cell in column if cell.startswith('"')]
        if without and any("\t" in cell or "\n" in cell for cell in quoted):
            return False
        if len(quoted) < len(column) and not all(NEEDS_QUOTES.search(cell[1:-1]) for cell in quoted):
            return False
    return True


def _is_even(rows: Sequence[list[str]]) -> bool:
    return len({len(cells) for cells in rows}) == 1


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def _comma_separated(text: str, where: str) -> list[Cells]:
    rows: list[Cells] = []
    start = 1
    # The limit on the length of a cell is one of the whole process.
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for cells in reader:
            if cells:
                rows.append((start, cells))
            # A quoted cell may span lines; the row is known by its first one.
            start = reader.line_num + 1
    except csv.Error as error:
        raise BadInput(f"line {start}: is not CSV: {error}", where=where) from error
    finally:
        csv.field_size_limit(limit)
    return rows


def _json_lines(text: str) -> Iterator[Record]:
    for line, row in _lines(text):
        if not row.strip():
            continue
        try:
            document = strict_json.loads(row)
        except strict_json.Malformed as error:
            yield Record(line, problem=f"is not JSON: {error.msg} (column {error.colno})")
        except ValueError as error:
            yield Record(line, problem=f"is not JSON: {error}")
        else:
            if isinstance(document, dict):
                yield Record(line, document)
            else:
                yield Record(line, problem="is not a JSON object")
