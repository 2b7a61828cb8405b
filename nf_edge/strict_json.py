"""JSON as RFC 8259 has it, in and out: Python's own module also writes and reads NaN and Infinity.

All JSON of nf-edge goes through here, so that a figure that is no number cannot pass as one.
"""

import json
import math
from typing import Any, NoReturn


def dumps(document: Any, *, indent: int | None = 2, ascii_only: bool = True) -> str:
    """JSON text of a document; `indent=None` gives one line.

    Raises:
        ValueError: a number is NaN or infinite, for which JSON has no word.
    """
    return json.dumps(document, indent=indent, ensure_ascii=ascii_only, allow_nan=False)


def loads(text: str | bytes) -> Any:
    """The document that JSON text holds.

    Raises:
        ValueError: it is not JSON, nests too deeply, has a key twice, or has NaN, Infinity or a number beyond
            float64's range.
    """
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def number(value: float | None) -> float | None:
    """A figure as JSON can have it: None where it is not known, or is NaN or infinite."""
    return value if value is not None and math.isfinite(value) else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Python's own module keeps the last of two equal keys; a reader of the file sees the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"key {twice!r} is given twice")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON has")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond the range of a float64")
    return value
