"""JSON strictly as in RFC 8259.  Python's `json` module also reads and writes NaN and Infinity.

nf-edge reads and writes all JSON through this module, so that NaN can never pass as a number.
"""

import json
import math
from typing import Any, NoReturn

# `loads` raises it for a syntax error: a ValueError with `msg` and `colno`.
Malformed = json.JSONDecodeError
# Largest nesting depth of arrays and objects; usual files have about ten levels.
MOST_LEVELS = 64
TOO_DEEP = f"arrays and objects may nest at most {MOST_LEVELS} levels deep"
# Largest number of characters of an integer: 64 bits, with the sign.
MOST_DIGITS = 20


def dumps(document: Any, *, indent: int | None = 2, ascii_only: bool = True) -> str:
    """JSON text of a document.

    Args:
        indent: spaces of each level; None: the text is one line.
        ascii_only: whether other characters are written as escapes.

    Raises:
        ValueError: a number is NaN or infinite, which JSON cannot represent.
    """
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """Parse JSON text.

    Raises:
        ValueError: the text is not JSON in UTF-8, nests too deeply, repeats a key, or has NaN, Infinity or a
            number beyond 64 bits.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    try:
        document = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded_integer,
            object_pairs_hook=_refuse_repeats,
        )
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    # The depth cannot exceed the number of brackets.  Most documents have so few that no check is needed.
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(document) > MOST_LEVELS:
        raise ValueError(TOO_DEEP)
    return document


def _levels(document: Any) -> int:
    level, deepest = [document], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        level = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
        deepest += 1
    return deepest


def _bounded_integer(digits: str) -> int:
    value = int(digits) if len(digits) <= MOST_DIGITS else None
    if value is None or not -(2**63) <= value < 2**64:
        raise ValueError(f"the number {digits[:40]} does not fit in 64 bits")
    return value


def number(value: float | None) -> float | None:
    """The value, or None if it is unknown, NaN or infinite, which JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def _refuse_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of these pairs.  Raises ValueError for a repeated key: Python would silently use its last
    value, while a human reader sees the first.
    """
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ValueError(f"the key {key[:40]!r} occurs twice in one object")
        document[key] = value
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number in JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} does not fit in a float64")
    return value
