"""Options for the limits of the accuracy gate, and for reports about it."""

from typing import get_args

import click

from nf_edge.cli.options import PATH, Option, page_options, together
from nf_edge.cli.param_types import Drop, Finite, Losses
from nf_edge.cli.row_options import calibrate_option
from nf_edge.core.defaults import LAYER_ROWS
from nf_edge.core.environment import JOB_SUMMARY
from nf_edge.core.limits import LimitsOn


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
    click.option("--junit", type=PATH, help="JUnit file to write, with a test case for each gate and limit."),
    click.option(
        "--summary",
        type=PATH,
        envvar=JOB_SUMMARY,
        show_envvar=True,
        help="Markdown file to append the results to.",
    ),
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
    page_options,
)
