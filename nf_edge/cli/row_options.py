"""Options for the rows of data that commands read."""

from functools import wraps
from typing import Any

import click

from nf_edge.cli.options import COUNT, Command, Option, together
from nf_edge.cli.param_types import Columns, LabelNames, Task

calibrate_option = click.option(
    "--calibrate",
    metavar="ROWS",
    show_default="the checkpoint's examples.jsonl",
    help="Rows to calibrate on, for recipes that need them.",
)


def data_option(*, required: bool = False, default: str = "") -> Option:
    return click.option(
        "--data",
        metavar="ROWS",
        required=required,
        show_default=default or None,
        help="Rows to evaluate on, usually labelled: a TSV, CSV or JSONL file, a folder, or NAME:SPLIT.",
    )


def train_option(*, required: bool = False) -> Option:
    return click.option(
        "--train",
        metavar="ROWS",
        required=required,
        help="Labelled rows (text, for a language model) to prune and recover with: a file, or NAME:SPLIT.",
    )


_row_format_options = together(
    click.option(
        "--task",
        type=Task(),
        help="Read the rows as those of a GLUE task: sst2, cola, mrpc, stsb, qqp, mnli, mnli-mm, qnli, rte "
        "or wnli.  The rows are then a file, or the GLUE folder.",
    ),
    click.option(
        "--text",
        type=Columns(),
        show_default="the usual names",
        help="Column of the text, or both columns of text pairs.",
    ),
    click.option("--label", metavar="COLUMN", show_default="label", help="Column of the labels."),
    click.option(
        "--labels",
        type=LabelNames(),
        help="Class of the checkpoint for each label in the file, where the names differ.",
    ),
)


def row_format_options(command: Command) -> Command:
    """A decorator that adds --task, --text, --label and --labels, for all rows that a command reads.

    The command gets them as one argument `row_format`; None if none of the options is given.
    """

    @wraps(command)
    def with_row_format(*arguments: Any, **options: Any) -> Any:
        given = {name: options.pop(name) for name in ("task", "text", "label", "labels")}
        given = {name: value for name, value in given.items() if value is not None}
        row_format = None
        if given:
            from nf_edge.model.data.row_format import RowFormat

            row_format = RowFormat(**given)
        return command(*arguments, row_format=row_format, **options)

    return _row_format_options(with_row_format)


def limit_option(default: int | None = None, *, shown: str = "") -> Option:
    return click.option(
        "--limit",
        type=COUNT,
        metavar="N",
        default=default,
        show_default=shown or default is not None,
        help="Use only the first N rows of --data.",
    )


stride_option = click.option(
    "--stride",
    type=COUNT,
    metavar="N",
    show_default="half a window",
    help="Tokens by which the windows of a text file (.txt) move; each token is scored once.",
)
