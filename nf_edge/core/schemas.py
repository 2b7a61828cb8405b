"""The schema names of nf-edge's JSON, such as `nf-edge/artifact/2`, and the schemas that nf-edge can read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.reading import MIB, read_json_object

# The schema of the commands' JSON output and of `sweep.json`.
OUTPUT = "nf-edge/1"
# The file that identifies an artifact folder, and the prefix of its schema name in all versions.
MANIFEST, ARTIFACT = "manifest.json", "nf-edge/artifact/"
# Largest accepted size of a manifest, in bytes.  The manifest of a large model is thousands of times smaller.
MOST_MANIFEST_BYTES = 256 * MIB


def json_text(command: str, result: Any) -> str:
    """The JSON text of a command's result: {"schema", "command", "result"}."""
    return strict_json.dumps({"schema": OUTPUT, "command": command, "result": result})


def json_error_text(message: str, exit_code: int) -> str:
    """The JSON text of a failure: {"schema", "error": {"message", "exit_code"}}."""
    return strict_json.dumps({"schema": OUTPUT, "error": {"message": message, "exit_code": exit_code}})


def is_artifact(folder: Path) -> bool:
    """Whether a folder is an artifact: its manifest.json has nf-edge's schema.  Other programs write a
    manifest.json too.
    """
    try:
        document = read_json_object(folder / MANIFEST, MOST_MANIFEST_BYTES)
    except BadInput:
        return False
    return str(document.get("schema")).startswith(ARTIFACT)


def require_schema(document: Any, known: Sequence[str], where: Path) -> None:
    """Raise BadInput if the schema of a document is unknown.

    Args:
        known: the schemas that can be read, the newest last.
        where: the path of the document, for messages.

    Raises:
        BadInput: a newer nf-edge wrote the document, or it is another kind of file.
    """
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema in known:
        return
    family = known[-1].rpartition("/")[0] + "/"
    if isinstance(schema, str) and schema.startswith(family) and schema.removeprefix(family).isdecimal():
        raise BadInput(
            f"was written by a newer nf-edge (its schema is {schema!r}; this version reads up to "
            f"{known[-1]!r})",
            where=where,
            fix="update nf-edge",
        )
    raise BadInput(
        f"is not the expected kind of file (its schema is {schema!r}, not {known[-1]!r})",
        where=where,
        fix=f"give a file with the schema {known[-1]!r}, written by nf-edge",
    )
