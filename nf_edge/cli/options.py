"""Options that several commands share; each is declared once, with one help text."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click

from nf_edge.cli.param_types import (
    Columns,
    Counts,
    Devices,
    Drop,
    Finite,
    LabelNames,
    Losses,
    OneDevice,
    Task,
)
from nf_edge.core.defaults import FEWEST_REPEATS, LAYER_ROWS, REPEATS
from nf_edge.core.environment import JOB_SUMMARY, PUBLIC_KEY
from nf_edge.core.limits import LimitsOn
from nf_edge.core.presets import DEFAULT_RANK, PRESETS

Command = Callable[..., Any]
Option = Callable[[Command], Command]
PATH = click.Path(path_type=Path)
COUNT = click.IntRange(min=1)

json_option = click.option("--json", "as_json", is_flag=True, help="Print the same facts as JSON.")


def together(*options: Option) -> Option:
    """A decorator that adds several options, in the order of --help."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def recipe_option(name: str = "recipe", *, required: bool = False, default: str = "") -> Option:
    """The option `--recipe`; with the name `recipes` it can be given several times."""
    several = name == "recipes"
    return click.option(
        "--recipe",
        name,
        required=required,
        multiple=several,
        metavar="RECIPE",
        show_default=default or None,
        help="A recipe: a name from `nf-edge recipes list`, or a YAML file."
        + (" Repeat the option for more; the first is the baseline." if several else ""),
    )


device_option = click.option(
    "--device",
    metavar="DEVICE",
    help="Check the memory against this device: a name from `nf-edge devices list`, or a YAML file.",
)
calibrate_option = click.option(
    "--calibrate",
    metavar="ROWS",
    show_default="the checkpoint's examples.jsonl",
    help="Rows to calibrate on, for recipes that need them.",
)


def max_drop_option(*, by_metric: bool = False) -> Option:
    """The option `--max-drop`; with `by_metric` it also takes losses of metrics, such as `f1=1,mse=0.02`."""
    return click.option(
        "--max-drop",
        type=Losses() if by_metric else Drop(),
        metavar="POINTS|METRIC=LOSS,…" if by_metric else "POINTS",
        help="Largest accepted loss of accuracy, in percentage points.",
    )


limits_options = together(
    max_drop_option(by_metric=True),
    click.option(
        "--max-changed",
        type=Finite(0, 100),
        metavar="PERCENT",
        help="Largest accepted share of changed answers; needs no labels.",
    ),
    click.option(
        "--max-kl",
        type=Finite(0),
        metavar="NATS",
        help="Largest accepted KL divergence of the answers; needs no labels.",
    ),
    click.option(
        "--limits-on",
        type=click.Choice(get_args(LimitsOn)),
        show_default="as the recipe says",
        help="What must keep the limits: the measured value, or the bad end of its 95 % interval.",
    ),
)
ci_options = together(
    click.option("--junit", type=PATH, help="JUnit file to write, with one test case per limit."),
    click.option(
        "--summary",
        type=PATH,
        envvar=JOB_SUMMARY,
        show_envvar=True,
        help="Markdown file to append the results to.",
    ),
)


def data_option(*, required: bool = False, default: str = "") -> Option:
    return click.option(
        "--data",
        metavar="ROWS",
        required=required,
        show_default=default or None,
        help="Labelled rows to evaluate on: a TSV, CSV or JSONL file, or NAME:SPLIT.",
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


def out_option(what: str, *, required: bool = False) -> Option:
    """The option `-o`.

    Args:
        what: the output in the help text, such as "Artifact folder to write".
    """
    return click.option("-o", "--out", type=PATH, required=required, help=f"{what}.")


overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Replace an earlier or unfinished result at OUT."
)
explain_options = together(
    click.option("--stages", is_flag=True, help="Also measure the accuracy after each step of the export."),
    click.option(
        "--layers", is_flag=True, help=f"Also compare each layer with fp32, on the first {LAYER_ROWS} rows."
    ),
    click.option(
        "--pruned",
        metavar="CHECKPOINT",
        help="With --stages or --layers: the exported checkpoint, if --reference is its original.",
    ),
    calibrate_option,
    click.option("--html", type=PATH, metavar="FILE", help="Write stages and layers to a page, with plots."),
    overwrite_option,
)

resume_option = click.option("--resume", is_flag=True, help="Continue an interrupted run.")


def on_option(*, several: bool = False) -> Option:
    """The option `--on`; with `several` it takes a list of devices."""
    return click.option(
        "--on",
        type=Devices() if several else OneDevice(),
        help="Run the file on a core of this device, emulated by QEMU. A core of QEMU's, such as "
        "cortex-a53, is accepted too.",
    )


timing_options = together(
    click.option(
        "--lengths", type=Counts(), show_default="lengths that suit the model", help="Tokens of a prefill."
    ),
    click.option(
        "--contexts",
        type=Counts(),
        show_default="contexts that suit the model",
        help="Tokens in the cache before each decoded token.",
    ),
    click.option(
        "--threads", type=Counts(), default="1", show_default=True, help="Threads of the runtime's pool."
    ),
    click.option(
        "--repeats",
        type=click.IntRange(FEWEST_REPEATS),
        metavar="N",
        default=REPEATS,
        show_default=True,
        help="Rounds per measurement.",
    ),
)


def public_key_option(*aliases: str, required: bool = False) -> Option:
    return click.option(
        *aliases,
        "--public-key",
        "public_key",
        type=PATH,
        required=required,
        envvar=PUBLIC_KEY,
        show_envvar=True,
        help="The signer's public key (EC, PEM), to verify the artifact's signature.",
    )


signature_options = together(
    public_key_option(),
    click.option(
        "--require-signature", is_flag=True, help="Refuse an artifact whose signature is not verified."
    ),
)


def preset_option(default: str | None = None) -> Option:
    return click.option(
        "--preset",
        type=click.Choice(list(PRESETS)),
        default=default,
        show_default=True,
        help="Shape of the model.",
    )


# No default, so that --rank with other noise is an error.
rank_option = click.option(
    "--rank", type=COUNT, metavar="N", show_default=str(DEFAULT_RANK), help="Rank of low-rank noise."
)


def vocab_size_option(default: str) -> Option:
    return click.option(
        "--vocab-size",
        type=COUNT,
        metavar="N",
        show_default=default,
        help="Number of tokens in the vocabulary.",
    )


tokenizer_option = click.option(
    "--tokenizer", "tokenizer_file", type=PATH, help="A tokenizer.json to copy into the checkpoint."
)


def activation_option(default: str | None = None, *, shown: str = "") -> Option:
    return click.option(
        "--activation",
        type=click.Choice(["gelu_new", "gelu", "relu"]),
        default=default,
        show_default=shown or True,
        help="Activation function of the MLPs.",
    )


def dtype_option(default: str | None = None, *, shown: str = "") -> Option:
    return click.option(
        "--dtype",
        type=click.Choice(["float32", "float16", "bfloat16"]),
        default=default,
        show_default=shown or True,
        help="Type of the weights in the checkpoint.",
    )


def seed_option(default: int | None = 0, *, shown: str = "", most: int | None = None) -> Option:
    return click.option(
        "--seed",
        type=click.IntRange(0, most),
        metavar="N",
        default=default,
        show_default=shown or True,
        help="Seed of the random numbers; the same seed gives the same result.",
    )
