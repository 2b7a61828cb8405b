"""Rows for training, checks and calibration; a row has token ids and a label."""

from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.files import utf8_text
from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import require_columns
from nf_edge.model.data.fields import has_text, parse_ids, parse_label
from nf_edge.model.data.glue import GlueTask
from nf_edge.model.data.parts import COMPLETE, Part
from nf_edge.model.data.sources import SourceTable, read_table
from nf_edge.model.data.text import text_encoder

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Row:
    """One example: at least one token id, and a label.

    `label` is the id of a class, or a float for regression.  It is None for models without a single label per
    row: language models, multi-label classifiers, and regressions with several outputs.
    """

    input_ids: tuple[int, ...]
    label: int | float | None


@dataclass(frozen=True)
class Rows:
    """Rows and their source.

    Attributes:
        source: the path or the name of the data set.
        sha256: SHA-256 of the file's bytes; for a named data set, of its rows written as JSONL.
        truncated: number of rows that were cut.
        length: number of tokens that rows were cut to; None if rows were not cut.
        notes: remarks for the user on how the file was read.
        task: the GLUE task that the rows are of; None if none was named.
    """

    rows: tuple[Row, ...]
    source: str
    sha256: str
    truncated: int
    length: int | None = None
    notes: tuple[str, ...] = ()
    task: GlueTask | None = None

    def require_at_most(self, length: int) -> None:
        """Raises BadInput if a row has more than `length` tokens."""
        if too_long := sum(len(row.input_ids) > length for row in self.rows):
            raise BadInput(
                f"{too_long} rows have more than {length} tokens, the recipe's limit",
                where=self.source,
                fix=f"load the rows with length={length}, which cuts longer rows",
            )

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user: the notes, and the number of cut rows."""
        cut = [f"{self.truncated} rows were cut to {self.length} tokens"] if self.truncated else []
        return [f"{self.source}: {note}" for note in (*self.notes, *cut)]


def load_rows(
    source: str, checkpoint: Checkpoint, limit: int | None = None, *, length: int | None = None
) -> Rows:
    """Read the rows of a file or a named data set for a checkpoint.

    Args:
        source: the path of a TSV or CSV file with a header, or of a JSONL file; or a data set and its split,
            such as `digits:test`.  A file has the column `text` or `sentence`, which the checkpoint's
            tokenizer encodes, or `input_ids`.  A file also has `label` if the model has one label per row: a
            name of id2label or an id; a number for regression.  Other columns are ignored, but a file with
            other columns of text is refused (`columns.require_columns`).
        limit: read only the first `limit` rows; later rows are not checked.
        length: cut longer rows to this many tokens and count them; None: n_positions.

    Raises:
        BadInput: the source cannot be read or has bad rows; the message has the lines of the first ten.
        MissingTool: a named data set needs a package that is not installed.
    """
    return read_rows(source, checkpoint.config, checkpoint.tokenizer_file, limit, length=length)


def read_rows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = COMPLETE,
    *,
    length: int | None = None,
) -> Rows:
    """`load_rows` for a model without a checkpoint, and for a part of the source."""
    return rows_of_table(
        read_table(source), config, tokenizer_file, limit, part, length=length or config.n_positions
    )


def rows_of_table(
    data: SourceTable,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = COMPLETE,
    *,
    length: int | None,
) -> Rows:
    """The rows of a table that was read before; see `load_rows`.

    Args:
        length: cut longer rows to this many tokens; None: no row is cut.

    Raises:
        BadInput: rows are bad; the message has the lines of the first ten.
    """
    source, table = data.source, data.table
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
            encoded = parse_ids(record.fields, config, encode, length)
            rows.append(Row(encoded.ids, parse_label(record.fields, config)))
            truncated += encoded.cut
        except ValueError as error:
            problems.append(f"line {record.line}: {error}")
    if problems:
        raise _bad_rows(problems, source)
    if not rows:
        if table.records:
            what = f"none of its {len(table.records):,} rows is in the part that is read"
            raise BadInput(what, where=source, fix=part.advice)
        raise BadInput("has no rows", where=source, fix="give a file with at least one row")
    return Rows(tuple(rows), utf8_text(source), data.sha256, truncated, length, table.notes)


def _bad_rows(problems: list[str], source: str) -> BadInput:
    if len(problems) == 1:
        return BadInput(problems[0], where=source)
    lines = [f"{len(problems)} bad rows", *(f"  - {problem}" for problem in problems[:SHOWN_PROBLEMS])]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return BadInput("\n".join(lines), where=source)
