"""Numbers on the command line: what click's own type takes, but for NaN and infinities."""

import math
from typing import Any

import click

from nf_edge.core.limits import drop_problem


class Finite(click.FloatRange):
    """A finite number within bounds; NaN is within any that click compares it with."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return float(super().convert(value, param, ctx))


class Drop(Finite):
    """Points of accuracy that may be lost, as in `limits.max_drop` of a recipe."""

    def __init__(self) -> None:
        super().__init__(0, 100)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        points = super().convert(value, param, ctx)
        if problem := drop_problem(points):
            self.fail(problem, param, ctx)
        return points
