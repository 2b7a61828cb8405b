"""Data sources: files by their path, and data sets by their name."""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from nf_edge.core import reading, strict_json
from nf_edge.core.errors import BadInput
from nf_edge.model.data.columns import with_usual_names
from nf_edge.model.data.dataset_folder import is_dataset_folder, read_dataset, split_folder
from nf_edge.model.data.digits import SPLITS, digits
from nf_edge.model.data.drawings import drawings
from nf_edge.model.data.glue_files import (
    TAB_SUFFIXES,
    Split,
    file_of_task,
    parse_task_table,
    require_folder_of,
    split_names,
)
from nf_edge.model.data.numbers import COUNTS, numbers
from nf_edge.model.data.row_format import DEFAULT, RowFormat
from nf_edge.model.data.tables import SUFFIXES, Record, Table, decode, parse_table

# Largest accepted file: it is read into memory, and its rows take several times as much.
MOST_BYTES = 8 * reading.GIB

# Data sets by name; each returns rows with input_ids or text, and label.
NAMED: dict[str, Callable[[], list[dict[str, Any]]]] = {
    **{f"digits:{split}": partial(digits, split) for split in SPLITS},
    "digits:drawn": drawings,
    **{f"numbers:{split}": partial(numbers, split) for split in COUNTS},
}


@dataclass(frozen=True)
class SourceTable:
    """The table of a data source, with columns renamed to the names that nf-edge reads; values are not
    checked.

    Attributes:
        source: the path of the file, or the name of the data set.
        sha256: SHA-256 of the file's bytes; for a named data set or a folder, of its rows written as JSONL.
        row_format: the task, or the columns and names of labels.
        columns: the names of all columns in the source.
    """

    source: str
    sha256: str
    table: Table
    row_format: RowFormat
    columns: tuple[str, ...]


def read_table(source: str, row_format: RowFormat = DEFAULT, split: Split = "dev") -> SourceTable:
    """The table of a file, of a folder, or of a named data set.

    Args:
        split: the split to read in a folder.

    Raises:
        BadInput: the source does not exist or cannot be read.
        MissingTool: the source is a folder that needs the datasets package, which is not installed.
    """
    source = locate(source, row_format, split)
    if row_format.glue is not None:
        require_folder_of(row_format.glue, source)
    if is_named(source):
        sha256, table = _table_of_rows(NAMED[source]())
    elif os.path.isdir(source):
        sha256, table = _table_of_rows(read_dataset(Path(source)))
    else:
        content = read_bytes(source)
        sha256, table = _sha256(content), _parse(content, row_format, source)
    columns = tuple(dict.fromkeys(name for record in table.records for name in record.fields))
    table = with_usual_names(table, columns, row_format, source)
    return SourceTable(source, sha256, table, row_format, columns)


def locate(source: str, row_format: RowFormat, split: Split) -> str:
    """The path to read for a source: in a folder, the file or folder of the split; else the source itself.

    Args:
        split: which split of a folder is read.

    Raises:
        BadInput: the source is a folder without a file of this split.
    """
    path, task = Path(source), row_format.glue
    if is_named(source) or not os.path.isdir(path):
        return source
    if is_dataset_folder(path):
        return str(split_folder(path, split_names(task, split)))
    if task is None:
        raise BadInput(
            "is a folder, not a regular file",
            where=source,
            fix="give the path of a file, or name the GLUE task with --task",
        )
    return str(file_of_task(path, task, split))


def is_named(source: str) -> bool:
    """Whether a source is the name of a data set; a file of this name takes precedence."""
    return source in NAMED and not Path(source).exists()


def _parse(content: bytes, row_format: RowFormat, source: str) -> Table:
    task, suffix = row_format.glue, Path(source).suffix.lower()
    suffixes = SUFFIXES if task is None else tuple(dict.fromkeys((*SUFFIXES, *TAB_SUFFIXES)))
    if suffix not in suffixes and is_text(source):
        raise BadInput(
            "is a text, but rows are needed here",
            where=source,
            fix=f"only check and export of a language model take a text; use one of: {', '.join(suffixes)}",
        )
    if suffix not in suffixes:
        raise BadInput(
            "is not a supported kind of data file",
            where=source,
            fix=f"use a file whose name ends in one of: {', '.join(suffixes)}",
        )
    if task is None:
        return parse_table(content, suffix, source)
    return parse_task_table(content, suffix, task, row_format.text, source)


def _table_of_rows(rows: list[dict[str, Any]]) -> tuple[str, Table]:
    """The SHA-256 and the table of rows that are not in a file."""
    content = "".join(strict_json.dumps(row, indent=None) + "\n" for row in rows).encode()
    return _sha256(content), Table([Record(line, row) for line, row in enumerate(rows, start=1)])


def is_text(source: str) -> bool:
    """Whether a source is a plain text file (one document) instead of a table of rows."""
    return source.lower().endswith(".txt")


def read_text(source: str) -> tuple[str, str]:
    """The text of a file, and the SHA-256 of its bytes.

    Raises:
        BadInput: the file cannot be read or is not UTF-8.
    """
    content = read_bytes(source)
    return decode(content, source), _sha256(content)


def read_bytes(source: str) -> bytes:
    """The content of a data file.

    Raises:
        BadInput: the file does not exist or cannot be read.
    """
    path = Path(source)
    if not os.path.exists(path):
        fix = f"give the path of a file ({', '.join(SUFFIXES)}), or one of: {', '.join(NAMED)}"
        raise BadInput("no such data file or data set", where=source, fix=fix)
    return reading.read_bytes(path, MOST_BYTES)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def name_of(source: str) -> str:
    """The name of a source for reports; without its folders, which may exist only on this machine."""
    return Path(source).name
