"""Parts of `RUN.md` that several backends share."""

from collections.abc import Iterable

PYTHON = "## Python\n\nRun from this folder:\n\n"
CPP = "\n## C++\n\n"


def code_names(names: Iterable[str]) -> str:
    """Format names as code in Markdown, separated by commas."""
    return ", ".join(f"`{name}`" for name in names)
