"""Where rows come from: a file by its path, or a named data set."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nf_edge.core import reading, strict_json
from nf_edge.core.errors import BadInput
from nf_edge.model.data.digits import SPLITS, digits
from nf_edge.model.data.drawings import drawings
from nf_edge.model.data.tables import SUFFIXES, Record, Table, decode, parse_table

# All of a file is held in memory, and its rows in many times as much.
MOST_BYTES = 8 * reading.GIB

# Data sets by name; each gives rows of input_ids and label.
NAMED: dict[str, Callable[[], list[dict[str, Any]]]] = {
    **{f"digits:{split}": partial(digits, split) for split in SPLITS},
    "digits:drawn": drawings,
}


def read_records(source: str) -> tuple[Table, str]:
    """The table of a file or of a named data set, its fields unchecked, and a SHA-256.

    The hash is that of the file's bytes, or of a named data set written as JSONL.

    Raises:
        BadInput: there is no such data, or it cannot be read.
        MissingTool: a named data set needs a package that is not installed.
    """
    path = Path(source)
    if source in NAMED and not path.exists():
        rows = NAMED[source]()
        content = "".join(strict_json.dumps(row, indent=None) + "\n" for row in rows).encode()
        return Table([Record(line, row) for line, row in enumerate(rows, start=1)]), _sha256(content)
    content = read_bytes(source)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise BadInput(
            "is not a kind of data file that is known",
            where=source,
            fix=f"its name must end in one of: {', '.join(SUFFIXES)}",
        )
    return parse_table(content, suffix, source), _sha256(content)


def is_text(source: str) -> bool:
    """Whether a source is plain text, one document, and no table of rows."""
    return source.lower().endswith(".txt")


def read_text(source: str) -> tuple[str, str]:
    """A text file, and the SHA-256 of its bytes.

    Raises:
        BadInput: it cannot be read, or is not UTF-8.
    """
    content = read_bytes(source)
    return decode(content, source), _sha256(content)


def read_bytes(source: str) -> bytes:
    """The content of a data file.

    Raises:
        BadInput: it does not exist or cannot be read.
    """
    path = Path(source)
    if not os.path.exists(path):
        fix = f"give the path of a file ({', '.join(SUFFIXES)}), or one of: {', '.join(NAMED)}"
        raise BadInput("no such data", where=source, fix=fix)
    return reading.read_bytes(path, MOST_BYTES)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def name_of(source: str) -> str:
    """A source as files tell it: without folders, which are of the machine that it was read on."""
    return Path(source).name
