"""What `bench` and `compare` share: the options that say what is timed."""

from collections.abc import Callable
from typing import TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., None])


class Counts(click.ParamType):
    """Whole numbers from 1 on, with commas between them."""

    name = "N,N…"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        numbers = [part.strip() for part in value.split(",")]
        if not all(part.isascii() and part.isdigit() and int(part) >= 1 for part in numbers):
            self.fail(f"{value!r} is not a list of numbers from 1 on, such as 16,64", param, ctx)
        return [int(part) for part in numbers]


OPTIONS = (
    click.option("--lengths", type=Counts(), help="Tokens of a prefill (default: what suits the model)."),
    click.option(
        "--contexts", type=Counts(), help="Tokens in the cache before each is decoded (default: so too)."
    ),
    click.option("--threads", type=Counts(), default="1", show_default=True, help="Of the runtime's pool."),
    click.option("--repeats", type=click.IntRange(5), default=20, show_default=True, help="Rounds of each."),
)


def timing_options(command: Command) -> Command:
    """`lengths`, `contexts`, `threads` and `repeats`, in this order in --help."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command
