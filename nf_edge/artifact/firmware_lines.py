"""The memory of a microcontroller's firmware, for `RUN.md`."""

from collections.abc import Sequence

from nf_edge.artifact.entries import PartEntry
from nf_edge.core.figures import Figure


def firmware_fields(lines: Sequence[PartEntry]) -> dict[str, str]:
    """Values that fill the template of a bare-metal `RUN.md`: a table of memory, and each part's size.

    Args:
        lines: the report's lines about the firmware; empty for other backends.
    """
    figures = {line["name"]: Figure(**line["planned"]) for line in lines}
    rows = [f"| {name} | {_text(figure)} |" for name, figure in figures.items()]
    sizes = {name.replace(" ", "_"): f"{figure.value}" for name, figure in figures.items()}
    return {"memory": "\n".join(["| part | bytes |", "|---|---:|", *rows]), **sizes} if lines else {}


def _text(figure: Figure) -> str:
    return f"unknown: {figure.note}" if figure.value is None else f"{figure.value:,.0f}"
