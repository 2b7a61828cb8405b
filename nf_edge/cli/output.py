"""Output of commands on stdout: JSON, or the parts of a report.

Progress, warnings and errors go to stderr.  Slow modules are imported only when they are used.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from nf_edge.core.schemas import json_text

if TYPE_CHECKING:
    from rich.console import Console

    from nf_edge.render.table import Part, Table

Result = TypeVar("Result")


def finish(command: str, result: Result, as_json: bool, parts: "Callable[[Result], Sequence[Part]]") -> None:
    """Print the result of a job, and raise its `failure` if it has one.

    Args:
        command: the name of the command, for the JSON.
        result: a value with `to_json()`, or a list of such values.
        as_json: whether to print JSON instead of the parts.
        parts: function that returns the report's parts for human readers.
    """
    if as_json:
        click.echo(json_text(command, _to_json(result)))
    else:
        print_parts(parts(result))
    if (failure := getattr(result, "failure", None)) is not None:
        failure.reported = True
        raise failure


def _to_json(result: Any) -> Any:
    return [each.to_json() for each in result] if isinstance(result, list) else result.to_json()


def print_parts(parts: "Sequence[Part]") -> None:
    """Print tables and lines to stdout, with an empty line between parts."""
    from nf_edge.render.table import Table

    shown = [part for part in parts if isinstance(part, Table) or part.lines]
    for part in shown:
        if isinstance(part, Table):
            _print_table(part)
        else:
            _print_lines(part.title, part.lines)
            if part is not shown[-1]:
                click.echo()


def _print_lines(title: str, lines: Iterable[str]) -> None:
    if title:
        click.echo(title)
    for line in lines:
        click.echo(f"  {line}" if title else line)


def _print_table(table: "Table") -> None:
    """Print a table, fitted to the terminal's width, or to 200 columns if stdout is not a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    drawn = RichTable(
        box=SIMPLE_HEAD, title=table.title or None, title_justify="left", title_style="bold", pad_edge=False
    )
    for number, column in enumerate(table.columns):
        drawn.add_column(column, justify="right" if number in table.right else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*row)
    console(width=None if sys.stdout.isatty() else 200).print(drawn)


def console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """The console for tables and bars; it raises BrokenPipeError if the reader has closed the pipe.

    Args:
        stderr: whether it writes to stderr instead of stdout.
        width: columns of the output; None: the terminal's width.
    """
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise  # the error that is currently handled

    # Markup and highlighting are off, because cells are data: "[1, T]" is not a style.
    return Plain(stderr=stderr, width=width, markup=False, highlight=False)
