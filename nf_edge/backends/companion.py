"""Find a file that an artifact has next to its model file."""

from pathlib import Path

from nf_edge.core.errors import EXPORT_AGAIN, BadInput


def companion(path: Path, name: str, purpose: str) -> Path:
    """The path of a file next to a model file.

    Args:
        path: the model file.
        name: the name of the other file.
        purpose: what nf-edge does with it, in words, such as "nf-edge runs it instead of model.pte".

    Raises:
        BadInput: the file is missing.
    """
    file = path.with_name(name)
    if not file.is_file():
        raise BadInput(f"is missing; {purpose}", where=file, fix=EXPORT_AGAIN)
    return file
