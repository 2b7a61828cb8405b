"""Figures: every number in a report, with its unit and how it was obtained."""

import math
from dataclasses import dataclass
from typing import Any, Literal

How = Literal["measured", "emulated", "simulated", "planned", "predicted", "unavailable"]
Unit = Literal[
    "bytes", "ms", "tokens/s", "ratio", "share", "rows", "loss", "perplexity", "logit", "count", "dB"
]


@dataclass(frozen=True)
class Figure:
    """A value with its unit and its origin.

    `how` is one of
      measured     from a run of the artifact on this machine,
      emulated     from a run of the artifact on an emulated core,
      simulated    from a simulator of the target,
      planned      from the memory plan or other data in the artifact,
      predicted    computed from the checkpoint and the recipe, without an artifact,
      unavailable  unknown: `value` is None and `note` gives the reason.

    Raises:
        ValueError: the value is NaN or infinite, or `value`, `how` and `note` contradict each other.
    """

    value: float | None
    unit: Unit
    how: How
    note: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.how == "unavailable"):
            raise ValueError("a figure has no value if and only if it is unavailable")
        if self.value is None and not self.note:
            raise ValueError("an unavailable figure needs a note with the reason")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is not finite; use Figure.unavailable for an unknown value")

    @classmethod
    def unavailable(cls, unit: Unit, reason: str) -> "Figure":
        return cls(None, unit, "unavailable", reason)

    @classmethod
    def of(cls, value: float, unit: Unit, how: How, note: str = "") -> "Figure":
        """A figure of `value`, with a remark in `note`; unavailable if the value is NaN or infinite."""
        if math.isfinite(value):
            return cls(value, unit, how, note)
        return cls.unavailable(unit, f"the result is {value}" + (f" ({note})" if note else ""))

    def to_json(self) -> dict[str, Any]:
        return {"value": self.value, "unit": self.unit, "how": self.how, "note": self.note}

    def __str__(self) -> str:
        if self.value is None:
            return "unavailable"
        if self.unit == "bytes":
            return format_bytes(self.value)
        if self.unit == "share":
            return f"{100 * self.value:.2f} %"
        if self.unit == "ms":
            return f"{format_significant(self.value)} ms"
        if self.unit == "tokens/s":
            return f"{format_significant(self.value)} tokens/s"
        if self.unit == "ratio":
            return f"{self.value:.2f}"
        if self.unit == "dB":
            return f"{self.value:.1f} dB"
        if self.unit in ("rows", "count"):
            return f"{self.value:,.0f}"
        return f"{self.value:.4g}"


def format_number(value: float, spec: str, unit: str = "") -> str:
    """A number in the format `spec`, such as `.2f`, with its unit; "not finite" for NaN and infinity."""
    return f"{value:{spec}}{unit}" if math.isfinite(value) else "not finite"


def format_significant(value: float) -> str:
    """A positive number with three significant digits; from 100 on, rounded to an integer."""
    # 99.95 rounds to 100.
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def format_bytes(count: float) -> str:
    """A number of bytes as text in decimal units, such as `1.50 MB` (1 MB = 10⁶ bytes)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,.0f} B"
