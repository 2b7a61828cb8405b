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
from nf_edge.model.data.digits import SPLITS, digits
from nf_edge.model.data.drawings import drawings
from nf_edge.model.data.tables import SUFFIXES, Record, Table, decode, parse_table

# Largest accepted file: it is read into memory, and its rows take several times as much.
MOST_BYTES = 8 * reading.GIB

# Data sets by name; each returns rows with input_ids and label.
NAMED: dict[str, Callable[[], list[dict[str, Any]]]] = {
    **{f"digits:{split}": partial(digits, split) for split in SPLITS},
    "digits:drawn": drawings,
}


@dataclass(frozen=True)
class SourceTable:
    """The table of a data source; its fields are not checked yet.

    Attributes:
        source: the path of the file, or the name of the data set.
        sha256: SHA-256 of the file's bytes; for a named data set, of its rows written as JSONL.
    """

    source: str
    sha256: str
    table: Table


def read_table(source: str) -> SourceTable:
    """The table of a file or of a named data set.

    Raises:
        BadInput: the source does not exist or cannot be read.
        MissingTool: a named data set needs a package that is not installed.
    """
    path = Path(source)
    if source in NAMED and not path.exists():
        rows = NAMED[source]()
        content = "".join(strict_json.dumps(row, indent=None) + "\n" for row in rows).encode()
        table = Table([Record(line, row) for line, row in enumerate(rows, start=1)])
        return SourceTable(source, _sha256(content), table)
    content = read_bytes(source)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            "is not a supported kind of data file",
            where=source,
            fix=f"use a file whose name ends in one of: {', '.join(SUFFIXES)}",
        )
    return SourceTable(source, _sha256(content), parse_table(content, suffix, source))


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
    """The name of a source for records in files; without folders, which exist only on one machine."""
    return Path(source).name
