"""Schemas of the JSON files that nf-edge writes, such as `nf-edge/artifact/2`: which can be read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import MIB, read_json_object

# Of what commands print and `sweep.json` holds.
OUTPUT = "nf-edge/1"
# The file that makes a folder an artifact, and the start of its schema in every version.
MANIFEST, ARTIFACT = "manifest.json", "nf-edge/artifact/"
# Bytes of a manifest: thousands of times what one of a large model takes.
MOST_MANIFEST_BYTES = 256 * MIB


def json_text(command: str, result: Any) -> str:
    """The envelope of all results: {"schema", "command", "result"}."""
    return strict_json.dumps({"schema": OUTPUT, "command": command, "result": result})


def json_error_text(message: str, exit_code: int) -> str:
    """The envelope of a failure: {"schema", "error"}."""
    return strict_json.dumps({"schema": OUTPUT, "error": {"message": message, "exit_code": exit_code}})


def is_artifact(folder: Path) -> bool:
    """Whether a folder is an artifact: many another has a manifest.json."""
    try:
        document = read_json_object(folder / MANIFEST, MOST_MANIFEST_BYTES)
    except BadInput:
        return False
    return str(document.get("schema")).startswith(ARTIFACT)


def require_schema(document: Any, known: Sequence[str], where: Path) -> None:
    """Refuse a file of a schema that is not among those known, the newest last.

    Raises:
        BadInput: a newer nf-edge wrote it, or it is of another kind.
    """
    found = document.get("schema") if isinstance(document, dict) else None
    if found in known:
        return
    family = known[-1].rpartition("/")[0] + "/"
    if isinstance(found, str) and found.startswith(family) and found.removeprefix(family).isdecimal():
        raise BadInput(
            f"was written by a newer nf-edge: its schema is {found!r}; this one reads up to {known[-1]!r}",
            where=where,
            fix="update nf-edge",
        )
    raise BadInput(
        f"is of another kind: its schema is {found!r}; this nf-edge reads {known[-1]!r}", where=where
    )
