"""Rows for training, checks and calibration; a row has token ids and a label."""

from dataclasses import dataclass, replace
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.files import utf8_text
from nf_edge.model.checkpoint import Checkpoint
from nf_edge.model.config import ModelConfig
from nf_edge.model.data.columns import SECOND_TEXT, require_columns
from nf_edge.model.data.fields import has_text, parse_ids
from nf_edge.model.data.glue import GlueTask
from nf_edge.model.data.glue_files import Split
from nf_edge.model.data.labels import Label, LabelReader, has_labels
from nf_edge.model.data.made_for import MadeFor
from nf_edge.model.data.parts import COMPLETE, Part
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.scored_text import ScoredText
from nf_edge.model.data.sources import SourceTable, read_table
from nf_edge.model.data.tables import Table
from nf_edge.model.data.text import Encode, text_encoder

SHOWN_PROBLEMS = 10


@dataclass(frozen=True)
class Row:
    """One example: at least one token id, and a label.

    `label` is the id of a class, or a float for regression.  For a multi-label classifier, it is a tuple with
    a 0 or 1 for each class.  It is None without a label, for language models, and for regressions with
    several outputs.

    `scored` is for language models: only the last `scored` tokens are scored, the others are context.  None:
    all tokens except the first are scored.
    """

    input_ids: tuple[int, ...]
    label: Label | None
    scored: int | None = None


@dataclass(frozen=True)
class Rows:
    """Rows and their source.

    Attributes:
        source: the path of the file, or the name of the data set.
        sha256: SHA-256 of the file's bytes; for a named data set, of its rows written as JSONL.
        truncated: number of rows that were cut to `length` tokens.
        length: the largest number of tokens of a row; None: no limit.
        notes: remarks for the user on how the file was read.
        task: the GLUE task of the rows; None without one.
        task_classes: the model's class for each label of the task, in the task's order; () without a task, or
            if the label is a score.
        text: the size of the text whose windows the rows are; None for other rows.
        made_for: the tokenizer and labels that the rows were read for; None if unknown.
    """

    rows: tuple[Row, ...]
    source: str
    sha256: str
    truncated: int
    length: int | None = None
    notes: tuple[str, ...] = ()
    task: GlueTask | None = None
    task_classes: tuple[int, ...] = ()
    text: ScoredText | None = None
    made_for: MadeFor | None = None

    @property
    def labelled(self) -> bool:
        """Whether all rows have labels; a file has labels in all rows or in none."""
        return bool(self.rows) and all(row.label is not None for row in self.rows)

    def require_labels(self, config: ModelConfig) -> None:
        """Raise BadInput if the model needs one label per row, and the rows have no labels."""
        if config.has_label and not self.labelled:
            raise BadInput(
                "has no labels, but every row needs one",
                where=self.source,
                fix="add a column `label`, or name the column of the labels with --label",
            )

    def require_at_most(self, length: int) -> None:
        """Raise BadInput if a row has more than `length` tokens."""
        if too_long := sum(len(row.input_ids) > length for row in self.rows):
            raise BadInput(
                f"has {too_long:,} rows with more than {length} tokens, the recipe's limit",
                where=self.source,
                fix="load the rows with `recipe=`, which cuts longer rows",
            )

    @property
    def warnings(self) -> list[str]:
        """Warnings for the user: the notes and the number of cut rows, each after the name of the source."""
        cut = [f"rows cut to {self.length} tokens: {self.truncated:,}"] if self.truncated else []
        return [f"{self.source}: {note}" for note in (*self.notes, *cut)]


def load_rows(
    source: str,
    checkpoint: Checkpoint,
    limit: int | None = None,
    *,
    length: int | None = None,
    row_format: RowFormat = DEFAULT,
    split: Split = "dev",
) -> Rows:
    """Read the rows of a file, a folder or a named data set, and encode their texts for a checkpoint.

    A row has its text in the column `text` or `sentence`, a pair in the columns of `columns.PAIRS`, or token
    ids in `input_ids`; `row_format` names other columns.  A file with other columns of text is refused.  All
    rows have a `label`, or none: a class by name or id, a number for regression, or a list for a multi-label
    classifier.

    Args:
        source: a TSV or CSV file with a header, or a JSONL file; a folder of a GLUE task or of the datasets
            package; or a data set and its split, such as `digits:test`.
        limit: read only the first `limit` rows; later rows are not checked.
        length: cut longer rows to this many tokens; None: the model's n_positions.
        row_format: the task, or the columns and names of labels.
        split: the split to read in a folder.

    Raises:
        BadInput: the source cannot be read or has bad rows; the message has the lines of the first ten.
        MissingTool: the source is a folder that needs the datasets package, which is not installed.
    """
    config, tokenizer_file = checkpoint.config, checkpoint.tokenizer_file
    table = read_table(source, row_format, split)
    return rows_of_table(table, config, tokenizer_file, limit, length=length or config.n_positions)


def read_rows(
    source: str,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = COMPLETE,
    *,
    length: int | None = None,
    row_format: RowFormat = DEFAULT,
) -> Rows:
    """Read rows like `load_rows`, but for a config and a tokenizer file, and only a part of the source.

    Args:
        tokenizer_file: the tokenizer that encodes texts; None: rows must have token ids.
        part: the part of the source to read.
        limit, length, row_format: as for `load_rows`.
    """
    table = read_table(source, row_format)
    return rows_of_table(table, config, tokenizer_file, limit, part, length=length or config.n_positions)


def rows_of_table(
    data: SourceTable,
    config: ModelConfig,
    tokenizer_file: Path | None,
    limit: int | None = None,
    part: Part = COMPLETE,
    *,
    length: int | None,
) -> Rows:
    """The rows of a table that is already read, encoded as by `load_rows`.

    Args:
        tokenizer_file: the tokenizer that encodes texts; None: rows must have token ids.
        limit: use only the first `limit` rows; None: all rows.
        part: the part of the table to use.
        length: cut longer rows to this many tokens; None: no row is cut.

    Raises:
        BadInput: rows are bad; the message has the lines of the first ten.
    """
    source = data.source
    table = replace(data.table, records=part.of_records(data.table.records)[:limit])
    readable = [record.fields for record in table.records if not record.problem]
    if data.row_format.task is not None and config.is_language_model:
        data.row_format.require_default(source, "has labels of a task, but a language model reads only text")
    labels = LabelReader.of(config, data.row_format, source)
    if readable:
        require_columns(table, readable, config, data.row_format, source)
    encode = text_encoder(tokenizer_file, source, length) if any(map(has_text, readable)) else None
    notes = [*table.notes, *labels.notes]
    if encode is not None:
        notes += _text_notes(encode, any(SECOND_TEXT in fields for fields in readable))
    rows, truncated = _parse_rows(table, config, encode, labels, length, source)
    if not rows:
        if data.table.records:
            what = f"none of the {len(data.table.records):,} rows is in the part that is read"
            raise BadInput(what, where=source, fix=part.advice)
        raise BadInput("has no rows", where=source, fix="give a file with at least one row")
    if has_labels(config) and rows[0].label is None:
        notes.append(f"the rows have no labels; the columns are: {', '.join(data.columns)}")
    task = data.row_format.glue
    classes = tuple(labels.classes.values())
    made_for = MadeFor.of(config, tokenizer_file if encode else None, labelled=rows[0].label is not None)
    return Rows(
        tuple(rows),
        utf8_text(source),
        data.sha256,
        truncated,
        length,
        tuple(notes),
        task,
        classes,
        made_for=made_for,
    )


def _text_notes(encode: Encode, pairs: bool) -> list[str]:
    """Check that special tokens leave room for text; return remarks on how texts are encoded.

    Args:
        encode: the encoder of the texts.
        pairs: whether the rows have text pairs.

    Raises:
        BadInput: special tokens leave no room for text.
    """
    encode.require_room(pairs=pairs)
    if not pairs or encode.separates_pairs:
        return []
    return ["the tokenizer does not separate the texts of a pair, so their token ids are concatenated"]


def _parse_rows(
    table: Table,
    config: ModelConfig,
    encode: Encode | None,
    labels: LabelReader,
    length: int | None,
    source: str,
) -> tuple[list[Row], int]:
    """The rows of a table, and the number of rows that were cut.

    Args:
        encode: encodes and cuts text; None if no row has text.
        length: cut `input_ids` to this many ids; None: no row is cut.
        source: the name of the data, for messages.

    Raises:
        BadInput: rows are bad, or only a part of the rows has labels.
    """
    rows, problems, unlabelled, truncated = [], [], [], 0
    pairs = any(SECOND_TEXT in record.fields for record in table.records)
    for record in table.records:
        try:
            if record.problem:
                raise ValueError(record.problem)
            if pairs and SECOND_TEXT not in record.fields:
                raise ValueError(f"has no {table.name_in_file(SECOND_TEXT)}, but other rows are pairs")
            encoded = parse_ids(record.fields, table, config, encode, length)
            label = labels.read(record.fields)
        except ValueError as error:
            problems.append((record.line, str(error)))
            continue
        rows.append(Row(encoded.ids, label))
        truncated += encoded.cut
        if label is None:
            unlabelled.append((record.line, "has no label, but other rows have one"))
    if len(unlabelled) < len(rows):
        problems += unlabelled if has_labels(config) else []
    if problems:
        raise _bad_rows([f"line {line}: {problem}" for line, problem in sorted(problems)], source)
    return rows, truncated


def _bad_rows(problems: list[str], source: str) -> BadInput:
    if len(problems) == 1:
        return BadInput(problems[0], where=source)
    lines = [f"{len(problems)} bad rows", *(f"  - {problem}" for problem in problems[:SHOWN_PROBLEMS])]
    if len(problems) > SHOWN_PROBLEMS:
        lines.append(f"  and {len(problems) - SHOWN_PROBLEMS} more")
    return BadInput("\n".join(lines), where=source)
