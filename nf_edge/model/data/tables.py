"""Read TSV, CSV and JSONL into records, each with its line number."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput

SUFFIXES = (".tsv", ".csv", ".jsonl")
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
# A TSV cell that is quoted as in CSV, or that does not start with a quote; and its terminator.
QUOTED_CELL = re.compile(r'("[^"]*+(?:""[^"]*+)*+"|(?!")(?:[^\t\r\n]|\r(?!\n))*+)(\t|\r?\n|\Z)')
# Characters for which programs quote a cell; spreadsheets also quote cells with commas.
NEEDS_QUOTES = re.compile(r'[",\t\n\r]')

# The line number of a row, and its cells.
Cells = tuple[int, list[str]]


@dataclass(frozen=True)
class Record:
    """One row of a table as written; if it cannot be read, it has a `problem` instead of fields."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True)
class Table:
    """The records of a file in order, and notes for the user on how they were read.

    Attributes:
        names: maps each new name of a renamed column to its name in the file.
    """

    records: list[Record]
    notes: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)

    def name_in_file(self, column: str) -> str:
        """The name that a column has in the file, in backticks for messages; `column` may be a new name."""
        return f"`{self.names.get(column, column)}`"


def parse_table(content: bytes, suffix: str, where: str) -> Table:
    """Parse a table; blank lines are skipped.

    Args:
        content: UTF-8 text, with or without a byte order mark.
        suffix: one of `SUFFIXES`; TSV and CSV start with a header line.
        where: the name of the file, for messages.

    Raises:
        BadInput: the content cannot be parsed as this kind of table.
    """
    if suffix == ".jsonl":
        return Table(list(_json_lines(_with_line_feeds(decode(content, where)))))
    if suffix == ".csv":
        return table_of(_comma_separated(_decode_cells(content, where), where), where)
    rows, notes = _tab_separated(_with_line_feeds(_decode_cells(content, where)))
    return table_of(rows, where, notes)


def plain_rows(content: bytes, where: str) -> list[Cells]:
    """Rows of a TSV file in which quotes are part of the text; blank lines are skipped.

    Args:
        where: the name of the file, for messages.

    Raises:
        BadInput: the content is not UTF-8, or has a NUL character.
    """
    text = _with_line_feeds(_decode_cells(content, where))
    return [(line, row.split("\t")) for line, row in _lines(text) if row]


def table_of(rows: Sequence[Cells], where: str, notes: tuple[str, ...] = ()) -> Table:
    """Make a table from rows of cells; the first row is the header.

    Args:
        where: the name of the file, for messages.

    Raises:
        BadInput: two columns have the same name.
    """
    if not rows:
        return Table([])
    (line, header), *rest = rows
    header = [name.strip() for name in header]
    if repeated := sorted({name for name in header if header.count(name) > 1}):
        names = ", ".join(name or "a column without a name" for name in repeated)
        raise BadInput(
            f"the header in line {line} has {names} twice", where=where, fix="rename or remove one column"
        )
    return Table([_record(line, header, cells) for line, cells in rest], notes)


def _decode_cells(content: bytes, where: str) -> str:
    text = decode(content, where)
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise BadInput(f"has a NUL character in line {line}", where=where, fix="save it as text, in UTF-8")
    return text


def _with_line_feeds(text: str) -> str:
    """A text with `\\n` at the ends of lines, even if it has only the `\\r` of old Macs."""
    return text if "\n" in text else text.replace("\r", "\n")


def decode(content: bytes, where: str) -> str:
    """Decode the content of a UTF-8 text file.

    Args:
        where: the name of the file, for messages.

    Raises:
        BadInput: the content is not UTF-8.
    """
    fix = "save it as UTF-8"
    if content.startswith(UTF_16_MARKS):
        raise BadInput("is UTF-16 text, not UTF-8", where=where, fix=fix)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadInput(
            f"is not UTF-8 text (line {line}, byte {error.start} of the file)", where=where, fix=fix
        ) from error


def _record(line: int, header: list[str], cells: list[str]) -> Record:
    if len(cells) != len(header):
        return Record(line, problem=f"has {len(cells)} columns, but the header has {len(header)}")
    return Record(line, dict(zip(header, cells, strict=True)))


def _lines(text: str) -> Iterator[tuple[int, str]]:
    return ((number, line.removesuffix("\r")) for number, line in enumerate(text.split("\n"), start=1))


def _tab_separated(text: str) -> tuple[list[Cells], tuple[str, ...]]:
    """Rows of a TSV file, and a note on how quotes were read.

    TSV has no quoting, and sentences of GLUE contain quotes as text.  But pandas and spreadsheets quote cells
    as in CSV.  Quotes count as quoting only if all quotes in the file are consistent with that.
    """
    plain = [(line, row.split("\t")) for line, row in _lines(text) if row]
    if not any(cell.startswith('"') for _, cells in plain for cell in cells):
        return plain, ()
    quoted = _quoted_as_in_csv(text)
    if quoted is None or not _explains_quotes(quoted, _has_equal_widths([cells for _, cells in plain])):
        return plain, ("quotes are read as part of the cells' text, not as CSV quoting",)
    unquoted = [(line, [_unquoted(cell) for cell in cells]) for line, cells in quoted]
    return unquoted, ("quotes around cells are removed, as in CSV",)


def _quoted_as_in_csv(text: str) -> list[Cells] | None:
    """Rows of a TSV with CSV quoting, quotes kept; None if a quote starts a cell but does not end it."""
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
    # After a tab at the end of the file comes an empty cell.
    return [*rows, (line, [*cells, ""])] if cells else rows


def _explains_quotes(rows: Sequence[Cells], even_unquoted: bool) -> bool:
    """Whether a program that quotes cells only where CSV needs it can have written these rows.

    Args:
        even_unquoted: whether all lines have the same number of cells if quotes are read as text.
    """
    table = [cells for _, cells in rows]
    if not _has_equal_widths(table):
        return False
    body = table[1:]
    for column in zip(*body, strict=True):
        quoted = [cell for cell in column if cell.startswith('"')]
        if even_unquoted and any("\t" in cell or "\n" in cell for cell in quoted):
            return False
        if len(quoted) < len(column) and not all(NEEDS_QUOTES.search(cell[1:-1]) for cell in quoted):
            return False
    return True


def _has_equal_widths(rows: Sequence[list[str]]) -> bool:
    return len({len(cells) for cells in rows}) == 1


def _unquoted(cell: str) -> str:
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell


def _comma_separated(text: str, where: str) -> list[Cells]:
    rows: list[Cells] = []
    start = 1
    # The limit on a cell's length applies to the whole process, so the old limit is restored.
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for cells in reader:
            if cells:
                rows.append((start, cells))
            # A quoted cell may span lines; the row gets the number of its first line.
            start = reader.line_num + 1
    except csv.Error as error:
        fix = 'put quotes around cells that contain commas, quotes or line breaks; write quotes in them as ""'
        raise BadInput(f"is not valid CSV in line {start} ({error})", where=where, fix=fix) from error
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
            yield Record(line, problem=f"is not valid JSON ({error.msg}, column {error.colno})")
        except ValueError as error:
            yield Record(line, problem=f"is not valid JSON ({error})")
        else:
            if isinstance(document, dict):
                yield Record(line, document)
            else:
                yield Record(line, problem="must be a JSON object")
