"""Rows for training, checking and calibrating: token ids and a label each."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.files import as_text
from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import require_columns
from nf_edge.model.data.fields import has_text, parse_ids, parse_label
from nf_edge.model.data.parts import WHOLE, Part
from nf_edge.model.data.sources import read_records
from nf_edge.model.data.tables import Table
from nf_edge.model.data.text import text_encoder

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Row:
    """One example: its token ids, at least one and at most as many as were requested, and its label.

    `label` is the id of a class, a float for regression, and None where the model has no one label a row: a
    language model, a multi-label classifier, a regression of several outputs.
    """

    input_ids: tuple[int, ...]
    label: int | float | None


@dataclass(frozen=True)
class Rows:
    """Rows and where they came from.

    Attributes:
        source: what was asked for.
        sha256: of the file's bytes, as `sha256sum` prints it; of a named data set written as JSONL.
        length: tokens that rows were cut to.
        truncated: number of rows that were cut.
        notes: what a user should know of how it was read.
    """

    rows: tuple[Row, ...]
    source: str
    sha256: str
    truncated: int
    length: int | None = None
    notes: tuple[str, ...] = ()

    def require_at_most(self, length: int) -> None:
        """Raises BadInput where a row has more tokens."""
        if too_long := sum(len(row.input_ids) > length for row in self.rows):
            raise BadInput(
                f"{too_long} rows are longer than the {length} tokens that the recipe takes",
                where=self.source,
                fix="read them with that length, so that they are cut and counted",
            )

    @property
    def warnings(self) -> list[str]:
        """What a user should know of them, and that rows were cut."""
        cut = [f"{self.truncated} rows were cut to {self.length} tokens"] if self.truncated else []
        return [f"{self.source}: {note}" for note in (*self.notes, *cut)]


def load_rows(
    source: str, checkpoint: Checkpoint, limit: int | None = None, *, length: int | None = None
) -> Rows:
    """Read the rows of a file or a named data set for a checkpoint.

    Args:
        source: path of a TSV or CSV file with a header, or of a JSONL file, with `text` or `sentence`
            (encoded by the checkpoint's tokenizer) or `input_ids`, and `label` (a name of id2label, else
            an id; a number for regression; not read where a row has no one label), other columns being
            ignored unless they have text too (`columns.require_columns`); or the name of a data set and its
            split, `digits:test`.
        limit: take the first so many rows only; those after them are not looked at.
        length: cut longer rows to this many tokens, and count them; n_positions where None.

    Raises:
        BadInput: it cannot be read, or has bad rows: all of them by their lines (ten are shown).
        MissingTool: a named data set needs a package that is not installed.
    """
    return read_rows(source, checkpoint.config, checkpoint.tokenizer_file, limit, length=length)


def read_rows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = WHOLE,
    *,
    length: int | None = None,
) -> Rows:
    """`load_rows` for a model that is not a checkpoint yet, and of a part of the source."""
    return _read(source, config, tokenizer_file, limit, part, length or config.n_positions)


def read_whole_rows(
    source: str, config: ModelConfig, tokenizer_file: Path | None, part: Part = WHOLE
) -> Rows:
    """`read_rows` without cutting any."""
    return _read(source, config, tokenizer_file, None, part, None)


def _read(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None,
    part: Part,
    length: int | None,
) -> Rows:
    table, sha256 = read_records(source)
    return rows_of_table(table, sha256, source, config, tokenizer_file, limit, part, length)


def rows_of_table(
    table: Table,
    sha256: str,
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = WHOLE,
    length: int | None = None,
) -> Rows:
    """The rows of a table that was read; see `load_rows`.

    Args:
        source, sha256: of the table.
        length: cut longer rows to this many tokens; None: no row is cut.

    Raises:
        BadInput: rows are bad: all of them by their lines (ten are shown).
    """
    records = part.of_records(table.records)[:limit]
    readable = [record.fields for record in records if not record.problem]
    if readable:
        require_columns(readable, config, source)
    encode = text_encoder(tokenizer_file, source, length) if any(map(has_text, readable)) else None
    rows, problems, truncated = [], [], 0
    for record in records:
        try:
            if record.problem:
                raise ValueError(record.problem)
            found = parse_ids(record.fields, config, encode, length)
            rows.append(Row(found.ids, parse_label(record.fields, config)))
            truncated += found.cut
        except ValueError as error:
            problems.append(f"line {record.line}: {error}")
    if problems:
        raise _bad_rows(problems, source)
    if not rows:
        raise BadInput("has no rows", where=source)
    return Rows(tuple(rows), as_text(source), sha256, truncated, length, table.notes)


def _bad_rows(problems: list[str], source: str) -> BadInput:
    if len(problems) == 1:
        return BadInput(problems[0], where=source)
    lines = [f"{len(problems)} bad rows", *(f"  - {problem}" for problem in problems[:SHOWN_PROBLEMS])]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return BadInput("\n".join(lines), where=source)
