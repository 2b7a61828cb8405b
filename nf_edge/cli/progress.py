"""Output of commands on stderr: progress, warnings, and how to resume."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.output import console
from nf_edge.core.progress import Progress
from nf_edge.core.signals import Terminated

if TYPE_CHECKING:
    from nf_edge.training import Validation


def warn(message: str) -> None:
    click.echo(f"warning: {message}", err=True)


def print_validation(attention: str, validation: "Validation") -> None:
    """Print the result of a validation during training, in one line.

    Args:
        attention: the start of the line: the trained model's attention, or "recovery".
    """
    click.echo(f"{attention}, step {validation.step:,}: {validation.evaluation}", err=True)


@contextmanager
def resume_hint(state: Path) -> Iterator[None]:
    """If the block is interrupted and the file `state` exists, say how to resume."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        if state.exists():
            click.echo("to continue from the last validation, run the same command with --resume", err=True)
        raise


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress callback: a bar if stderr is a terminal, otherwise one line per step."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _step_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=screen, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def draw(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield draw


def _step_lines() -> Callable[[str, int, int], None]:
    printed: set[str] = set()

    def line(step: str, done: int, total: int) -> None:
        if step not in printed:
            printed.add(step)
            click.echo(f"{step} ...", err=True)

    return line
