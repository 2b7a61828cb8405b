"""Squarified treemaps: rectangles whose areas are proportional to values.

The layout is by Bruls, Huizing and van Wijk, "Squarified Treemaps" (2000).
"""

from collections.abc import Sequence
from typing import NamedTuple


class Rect(NamedTuple):
    """A rectangle: its lower left corner, width and height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        return self.width * self.height


def squarified(values: Sequence[float], into: Rect) -> list[Rect]:
    """Rectangles that fill `into` without overlaps, one per value, in the order of the values.

    Args:
        values: positive numbers in descending order; their areas are proportional to them.
    """
    rects: list[Rect] = []
    rest, scale = into, into.area / (sum(values) or 1)
    areas = [value * scale for value in values]
    while areas:
        side = min(rest.width, rest.height)
        count = 1
        while count < len(areas) and _worst(areas[: count + 1], side) <= _worst(areas[:count], side):
            count += 1
        row, rest = _row(areas[:count], rest)
        rects += row
        areas = areas[count:]
    return rects


def _worst(areas: Sequence[float], side: float) -> float:
    """The largest ratio of long to short side, if a row along `side` has these areas."""
    total = sum(areas)
    return max(max(side**2 * area / total**2, total**2 / (side**2 * area)) for area in areas)


def _row(areas: Sequence[float], rest: Rect) -> tuple[list[Rect], Rect]:
    """Place a row along the short side of `rest`; returns its rectangles, and what is left of `rest`."""
    total, rects = sum(areas), []
    x, y, width, height = rest
    if width >= height:
        depth = total / height
        for area in areas:
            rects.append(Rect(x, y, depth, area / depth))
            y += area / depth
        return rects, Rect(x + depth, rest.y, width - depth, height)
    depth = total / width
    for area in areas:
        rects.append(Rect(x, y, area / depth, depth))
        x += area / depth
    return rects, Rect(rest.x, y + depth, width, height - depth)
