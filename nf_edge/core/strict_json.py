"""JSON as RFC 8259 has it, in and out: Python's own module also writes and reads NaN and Infinity.

All JSON of nf-edge goes through here, so that a figure that is no number cannot pass as one.
"""

import json
import math
from typing import Any, NoReturn

# What `loads` raises where text is no JSON at all; a ValueError with `msg` and `colno`.
Malformed = json.JSONDecodeError
# Arrays and objects within each other; what others write nests some ten deep.
MOST_LEVELS = 64
# Characters of a whole number of 64 bits, with a sign or without.
MOST_DIGITS = 20


def dumps(document: Any, *, indent: int | None = 2, ascii_only: bool = True) -> str:
    """JSON text of a document; `indent=None` gives one line.

    Raises:
        ValueError: a number is NaN or infinite, for which JSON has no word.
    """
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The document that JSON text holds.

    Raises:
        ValueError: it is not JSON in UTF-8, nests too deeply, has a key twice, or has NaN, Infinity or a
            number beyond 64 bits.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        document = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except RecursionError:
        raise ValueError("it nests too deeply") from None
    # No document nests deeper than it has brackets, and few have as many.
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(document) > MOST_LEVELS:
        raise ValueError("it nests too deeply")
    return document


def _levels(document: Any) -> int:
    level, deepest = [document], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
        deepest += 1
    return deepest


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= MOST_DIGITS else None
    if value is None or not -(2**63) <= value < 2**64:
        raise ValueError(f"{digits[:40]} is beyond the range of 64 bits")
    return value


def number(value: float | None) -> float | None:
    """A figure as JSON can have it: None where it is not known, or is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python's own module keeps the last of two equal keys; a reader of the file sees the first."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {key[:40]!r} is given twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON has")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond the range of a float64")
    return value
