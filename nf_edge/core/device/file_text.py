"""The text of a device file."""

from collections.abc import Iterable

from nf_edge.core import strict_json
from nf_edge.core.device.facts import UNKNOWN


def scalar(value: str) -> str:
    """A text as YAML."""
    return strict_json.dumps(value, ascii_only=False)


def fact(indent: int, key: str, value: object, source: str, verified: bool) -> list[str]:
    """The lines of a fact.

    Args:
        value: a text, a number, or a list of names; None: unknown.
    """
    text = value if isinstance(value, int) else scalar(str(value))
    if value is None:
        text = UNKNOWN
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(value)}]"
    pad = " " * indent
    return [
        f"{pad}{key}:",
        f"{pad}  value: {text}",
        f"{pad}  source: {scalar(source)}",
        f"{pad}  verified: {str(verified).lower()}",
    ]


def unknown(indent: int, key: str) -> str:
    """The line of a fact that the user has to fill in."""
    return f"{' ' * indent}{key}: {{value: {UNKNOWN}, source: {UNKNOWN}, verified: false}}"


def joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
