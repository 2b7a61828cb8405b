"""Types of option values; a wrong value ends with exit code 2."""

import math
import re
from typing import Any

import click

from nf_edge.core.limits import drop_problem, loss_problem

# At most 18 digits: Python reads no integers of thousands of digits.
COUNT = re.compile(r"0{0,9}[1-9][0-9]{0,17}", re.ASCII)


class Finite(click.FloatRange):
    """Option type: a finite number within bounds; the range type of click accepts NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(click.FLOAT.convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return float(super().convert(value, param, ctx))


class Drop(Finite):
    """Option type: points of accuracy, as in `limits.max_drop` of a recipe."""

    def __init__(self) -> None:
        super().__init__(0, 100)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        points = super().convert(value, param, ctx)
        if problem := drop_problem(points):
            self.fail(problem, param, ctx)
        return points


class Losses(click.ParamType):
    """Option type: points of accuracy, or losses of metrics as in a recipe: `f1=1,mse=0.02`."""

    name = "POINTS|METRIC=LOSS,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | dict[str, float]:
        if "=" not in value:
            return Drop().convert(value, param, ctx)
        losses: dict[str, float] = {}
        for part in value.split(","):
            name, _, text = (each.strip() for each in part.partition("="))
            if not name or not text:
                self.fail(f"{part.strip()!r} in {value!r} is not METRIC=LOSS, such as f1=1.", param, ctx)
            if name in losses:
                self.fail(f"{value!r} limits {name} twice.", param, ctx)
            losses[name] = Finite().convert(text, param, ctx)
            if problem := loss_problem(name, losses[name]):
                self.fail(f"{problem}.", param, ctx)
        return losses


class Size(click.ParamType):
    """Option type: a number of bytes, such as `300kB` or `2 MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from nf_edge.core.device import parse_size

        try:
            return parse_size(re.sub(r"^([0-9]+) *", r"\1 ", value))
        except ValueError as error:
            self.fail(f"{value!r} is not a size; it {error}", param, ctx)


class Counts(click.ParamType):
    """Option type: integers from 1 on, separated by commas."""

    name = "N,N…"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        numbers = [part.strip() for part in value.split(",")]
        if not all(COUNT.fullmatch(part) for part in numbers):
            self.fail(f"{value!r} is not a list of whole numbers of at least 1, such as 16,64", param, ctx)
        return [int(part) for part in numbers]


class Devices(click.ParamType):
    """Option type: names of devices, separated by commas."""

    name = "DEVICE,…"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        names = [name.strip() for name in value.split(",")]
        if not all(names):
            self.fail(f"{value!r} has an empty name; give names of devices, separated by commas", param, ctx)
        return names


class OneDevice(click.ParamType):
    """Option type: the name of one device."""

    name = "DEVICE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if "," in value:
            self.fail(f"{value!r} names several devices; give one device", param, ctx)
        return value


class Task(click.ParamType):
    """Option type: the name of a GLUE task."""

    name = "TASK"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from nf_edge.model.data.glue import TASKS

        if value not in TASKS:
            self.fail(f"{value!r} is not one of {', '.join(TASKS)}", param, ctx)
        return value


class Columns(click.ParamType):
    """Option type: one or two names of columns, separated by a comma."""

    name = "COLUMN[,COLUMN]"

    def convert(
        self, value: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(","))
        if not all(names) or len(names) > 2 or len(set(names)) < len(names):
            self.fail(
                f"{value!r} must be one column, or two different columns separated by a comma", param, ctx
            )
        return names


class LabelNames(click.ParamType):
    """Option type: pairs LABEL=CLASS, separated by commas, which map labels in the data to classes."""

    name = "LABEL=CLASS,…"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, str]:
        pairs = [tuple(side.strip() for side in pair.split("=")) for pair in value.split(",")]
        if not all(len(pair) == 2 and all(pair) for pair in pairs):
            self.fail(f"{value!r} is not a list of LABEL=CLASS, such as 0=no,1=yes", param, ctx)
        names = {pair[0]: pair[1] for pair in pairs}
        if len(names) < len(pairs):
            self.fail(f"{value!r} has a label twice", param, ctx)
        return names
