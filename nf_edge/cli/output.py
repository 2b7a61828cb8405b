"""What the verbs share: `--json`, tables, and progress bars.

Results go to stdout, everything else (progress, warnings, errors) to stderr.  Nothing heavy is
imported until it is used.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import click

from nf_edge.core.errors import NfEdgeError
from nf_edge.core.progress import Progress
from nf_edge.core.schemas import json_text
from nf_edge.core.signals import Terminated

if TYPE_CHECKING:
    from rich.console import Console

    from nf_edge.measure.memory import MemoryReport
    from nf_edge.render import Table

json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON.")


def print_json(command: str, result: Any) -> None:
    click.echo(json_text(command, result))


class Result(Protocol):
    """What the API returns of a job that has a gate."""

    @property
    def failure(self) -> NfEdgeError | None: ...

    def to_json(self) -> Any: ...


Value = TypeVar("Value", bound=Result)


def finish(command: str, result: Value, as_json: bool, show_it: Callable[[Value], None]) -> None:
    """Print a result, as JSON or by a function for people, and raise the gate that it did not pass."""
    if as_json:
        print_json(command, result.to_json())
    else:
        show_it(result)
    if (failure := result.failure) is not None:
        raise failure


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Sequence[int] = ()
) -> None:
    """A table on stdout; `right` lists the columns (from 0) that are aligned right.

    On a terminal it is fitted to the width; in a pipe nothing is cut or wrapped.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        box=SIMPLE_HEAD, title=title or None, title_justify="left", title_style="bold", pad_edge=False
    )
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console(width=None if sys.stdout.isatty() else 200).print(table)


def console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """Where tables and bars are drawn; a closed pipe is told as by any other writer."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # the error that is being handled

    # Markup and highlighting are off: cells are data, and "[1, T]" is not a style.
    return Plain(stderr=stderr, width=width, markup=False, highlight=False)


def show(table: "Table") -> None:
    """A table of `nf_edge.render` on stdout."""
    print_table(table.columns, table.rows, title=table.title, right=table.right)


def show_memory(report: "MemoryReport") -> None:
    """A memory report on stdout: tables, remarks, and the verdict where a device was named."""
    from nf_edge import render

    for table in render.memory_tables(report):
        show(table)
    print_lines(render.memory_lines(report))
    if report.verdict:
        print_lines(render.verdict_lines(report.verdict))


def print_lines(lines: Iterable[str], *, title: str = "") -> None:
    """Lines on stdout under a title, and an empty one."""
    if title:
        click.echo(title)
    for line in lines:
        click.echo(f"  {line}" if title else line)
    click.echo()


def warn(messages: Iterable[str]) -> None:
    for message in messages:
        warn_of(message)


def warn_of(message: str) -> None:
    """How verbs have the API tell its remarks."""
    click.echo(f"warning: {message}", err=True)


@contextmanager
def told_how_to_resume(state: Path) -> Iterator[None]:
    """Whoever ends a command is told what to do next, if there is a state to go on from."""
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        if state.exists():
            click.echo("to go on from the last validation: the same command with --resume", err=True)
        raise


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """A progress callback that draws a bar on stderr when that is a terminal, else a line a step."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    screen = console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if not screen.is_terminal:
        said: set[str] = set()

        def line(step: str, done: int, total: int) -> None:
            if step not in said:
                said.add(step)
                click.echo(f"{step} ...", err=True)

        yield line
        return
    with Bars(*columns, console=screen, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def draw(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield draw
