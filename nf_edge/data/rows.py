"""Rows for training, checking and calibrating: token ids and a label each."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.data.fields import CONTENT_COLUMNS, has_text, parse_ids, parse_label
from nf_edge.data.parts import WHOLE, Part
from nf_edge.data.sources import read_records
from nf_edge.data.text import text_encoder
from nf_edge.errors import BadInput
from nf_edge.files import as_text
from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.config import ModelConfig

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Row:
    """One example: its token ids, at least one and at most n_positions, and its label.

    `label` is the id of a class, a float for regression, and None for a language model.
    """

    input_ids: tuple[int, ...]
    label: int | float | None


@dataclass(frozen=True)
class Rows:
    """Rows and where they came from.

    Attributes:
        source: what was asked for.
        sha256: of the file's bytes, as `sha256sum` prints it; of a named data set written as JSONL.
        truncated: number of rows that were cut to n_positions.
    """

    rows: tuple[Row, ...]
    source: str
    sha256: str
    truncated: int


def load_rows(source: str, checkpoint: Checkpoint, limit: int | None = None) -> Rows:
    """Read the rows of a file or a named data set for a checkpoint.

    Args:
        source: path of a TSV or CSV file with a header, or of a JSONL file, with `text` or `sentence`
            (encoded by the checkpoint's tokenizer) or `input_ids`, and `label` (a name of id2label, else
            an id; a number for regression; not read for a language model), other columns being ignored;
            or the name of a data set and its split, `digits:test`.
        limit: take the first so many rows only; those after them are not looked at.

    Raises:
        BadInput: it cannot be read, or has bad rows: all of them by their lines (ten are shown).
        MissingTool: a named data set needs a package that is not installed.
    """
    return read_rows(source, checkpoint.config, checkpoint.tokenizer_file, limit)


def read_rows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = WHOLE,
) -> Rows:
    """`load_rows` for a model that is not a checkpoint yet, and of a part of the source."""
    whole = read_whole_rows(source, config, tokenizer_file, limit, part)
    rows = tuple(Row(row.input_ids[: config.n_positions], row.label) for row in whole.rows)
    truncated = sum(len(row.input_ids) > config.n_positions for row in whole.rows)
    return Rows(rows, whole.source, whole.sha256, truncated)


def read_whole_rows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = WHOLE,
) -> Rows:
    """`read_rows` without cutting any to n_positions."""
    records, sha256 = read_records(source)
    records = part.of_records(records)[:limit]
    readable = [record.fields for record in records if not record.problem]
    if readable:
        _require_columns(readable, config, source)
    encode = text_encoder(tokenizer_file, source) if any(map(has_text, readable)) else None
    rows, problems = [], []
    for record in records:
        try:
            if record.problem:
                raise ValueError(record.problem)
            ids = parse_ids(record.fields, config, encode)
            rows.append(Row(tuple(ids), parse_label(record.fields, config)))
        except ValueError as error:
            problems.append(f"line {record.line}: {error}")
    if problems:
        raise _bad_rows(problems, source)
    if not rows:
        raise BadInput("has no rows", where=source)
    return Rows(tuple(rows), as_text(source), sha256, truncated=0)


def _require_columns(readable: list[dict[str, Any]], config: ModelConfig, source: str) -> None:
    """Say once, not once a row, what no row has."""
    columns = list(dict.fromkeys(name for fields in readable for name in fields))
    problems = []
    if not any(name in columns for name in CONTENT_COLUMNS):
        problems.append("has no column `text`, `sentence` or `input_ids`")
    if not config.is_language_model and "label" not in columns:
        problems.append("has no column `label`, which a classifier needs")
    if problems:
        raise BadInput.listing(problems, where=source, fix=f"its columns are: {', '.join(columns)}")


def _bad_rows(problems: list[str], source: str) -> BadInput:
    if len(problems) == 1:
        return BadInput(problems[0], where=source)
    lines = [f"{len(problems)} bad rows", *(f"  - {problem}" for problem in problems[:SHOWN_PROBLEMS])]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return BadInput("\n".join(lines), where=source)
