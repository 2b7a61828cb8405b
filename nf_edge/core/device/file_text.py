"""Write the text of a device file, fact by fact."""

from collections.abc import Iterable

from nf_edge.core import strict_json
from nf_edge.core.device.facts import UNKNOWN


def scalar(value: str) -> str:
    """A text as a quoted YAML string."""
    return strict_json.dumps(value, ascii_only=False)


def fact(indent: int, key: str, value: object, source: str, verified: bool) -> list[str]:
    """The YAML lines of one fact of a device file.

    Args:
        indent: number of spaces before the key.
        key: the key of the fact, such as `soc`.
        value: a text, a number, or a list of names; None: the value is written as `unknown`.
        source: where the value comes from, in words.
        verified: whether somebody checked the value in its source.
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
    """The YAML line of a fact with unknown value and source, after `indent` spaces; the user fills it in."""
    return f"{' ' * indent}{key}: {{value: {UNKNOWN}, source: {UNKNOWN}, verified: false}}"


def joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
