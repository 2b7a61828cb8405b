"""Text for cells, ranges and intervals; each format has one function here."""

from nf_edge.core.figures import Figure, format_significant

UNKNOWN = "–"
Interval = tuple[float, float]


def figure_cell(figure: Figure) -> str:
    """A figure as text; a dash if it is unavailable."""
    return UNKNOWN if figure.value is None else str(figure)


def number_cell(value: float | None) -> str:
    """A positive number with three significant digits; a dash if it is unavailable."""
    return UNKNOWN if value is None else format_significant(value)


def spread_text(value: object, bounds: tuple[object, object], dash: str = "–") -> str:
    """A value and its bounds as in tables, such as `1.52 (1.40–1.61)`; `dash` separates the bounds."""
    low, high = bounds
    return f"{value} ({low}{dash}{high})"


def bounds_text(interval: Interval, spec: str, unit: str = "") -> str:
    """An interval such as `-0.10 to +0.30`: both bounds in the format `spec`, then the unit."""
    low, high = interval
    return f"{low:{spec}} to {high:{spec}}{unit}"


def interval_text(interval: Interval, spec: str, unit: str = "") -> str:
    """An interval with its name, such as `95 % interval -0.10 to +0.30`; arguments as for `bounds_text`."""
    return f"95 % interval {bounds_text(interval, spec, unit)}"


def in_percent(interval: Interval) -> Interval:
    """The two bounds of an interval of a share, multiplied by 100."""
    low, high = interval
    return 100 * low, 100 * high


def limit_text(limit: float | None) -> str:
    """The limit in words, such as `limit 0.5`, or `no limit`."""
    return "no limit" if limit is None else f"limit {limit:g}"


def counted(count: int, noun: str) -> str:
    """A count with its noun, such as `1 token` or `2,000 tokens`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def truncated_text(rows: int) -> str:
    """A remark on rows that are longer than the model's input; "" if there are none."""
    return f", {rows} truncated to the input length" if rows else ""


def grouped(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Map each reason to its items, from pairs of a reason and an item."""
    groups: dict[str, list[str]] = {}
    for reason, item in pairs:
        groups.setdefault(reason, []).append(item)
    return groups
