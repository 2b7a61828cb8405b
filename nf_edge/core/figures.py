"""Figures: every number that a user is shown, with its unit and how it was obtained."""

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
      measured     read off a run of the artifact,
      emulated     read off a run of it as another core, by an emulator,
      simulated    read off a simulator of the target,
      planned      read out of the artifact's own plan,
      predicted    computed from the checkpoint and the recipe before there is an artifact,
      unavailable  not known here (`value` is None and `note` gives the reason).
    """

    value: float | None
    unit: Unit
    how: How
    note: str = ""

    def __post_init__(self) -> None:
        if (self.value is None) != (self.how == "unavailable"):
            raise ValueError("exactly the unavailable figures have no value")
        if self.value is None and not self.note:
            raise ValueError("an unavailable figure says why")
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"{self.value} is no figure; what is not known is unavailable")

    @classmethod
    def unavailable(cls, unit: Unit, reason: str) -> "Figure":
        return cls(None, unit, "unavailable", reason)

    @classmethod
    def of(cls, value: float, unit: Unit, how: How, note: str = "") -> "Figure":
        """The figure of a value that may have come out NaN or infinite, and is then unavailable."""
        if math.isfinite(value):
            return cls(value, unit, how, note)
        return cls.unavailable(unit, f"it came out as {value}" + (f" ({note})" if note else ""))

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
            return f"{format_three(self.value)} ms"
        if self.unit == "tokens/s":
            return f"{format_three(self.value)} tokens/s"
        if self.unit == "ratio":
            return f"{self.value:.2f}"
        if self.unit == "dB":
            return f"{self.value:.1f} dB"
        if self.unit in ("rows", "count"):
            return f"{self.value:,.0f}"
        return f"{self.value:.4g}"


def shown(value: float, spec: str, unit: str = "") -> str:
    """A number and its unit; one that is not finite is said to be so."""
    return f"{value:{spec}}{unit}" if math.isfinite(value) else "not finite"


def format_three(value: float) -> str:
    """A positive number with three significant digits, or more where they are whole ones."""
    # What rounds to 100 is a whole number too.
    return f"{value:,.0f}" if value >= 99.95 else f"{value:#.3g}"


def format_bytes(count: float) -> str:
    """Bytes in decimal units, as memory and file sizes are printed everywhere here (1 MB = 10⁶ bytes)."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= size:
            return f"{count / size:,.2f} {unit}"
    return f"{count:,.0f} B"
