"""`nf-edge check`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.numbers import Drop
from nf_edge.cli.on_option import devices_on, on_option
from nf_edge.cli.output import finish, json_option, print_lines, progress_bar, show, warn_of
from nf_edge.cli.trust import Trust, trust_options
from nf_edge.pipeline.loading import EMULATED_ROWS

if TYPE_CHECKING:
    from nf_edge.measure.accuracy.check import AccuracyReport
    from nf_edge.measure.accuracy.cores import CoresReport

EPILOG = """\b
Examples:
  nf-edge check digits-pi --data digits:test
  nf-edge check digits-pi --data digits:test --on rpi-zero-2w,rpi-5,pixel-8
  nf-edge check out --data dev.tsv --reference ./my-model --max-drop 0.5
"""


@click.command("check", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="Labelled rows: a TSV, CSV or JSONL file, or NAME:SPLIT.")
@click.option(
    "--reference",
    help="The checkpoint it was made of, or the one that `compress` made that of (default: the bundled one "
    "of its name).",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Use the first N rows only (with --on: {EMULATED_ROWS} by default).",
)
@click.option("--max-drop", type=Drop(), help="Points of accuracy that may be lost.")
@on_option
@trust_options
@json_option
def command(
    artifact: Path,
    data: str,
    reference: str | None,
    limit: int | None,
    max_drop: float | None,
    on: str | None,
    trust: Trust,
    as_json: bool,
) -> None:
    """Accuracy of an ARTIFACT, loaded from its file and run on this CPU, beside its checkpoint's.

    Both are asked the same rows.  A drop beyond --max-drop, or else beyond the recipe's own limit, is
    exit code 5.  With --on the file is run on the cores of those devices too, emulated; each of them is held
    to the limit, and its answers are compared with those that the file gives here.
    """
    from nf_edge.pipeline import api

    devices = devices_on(on)
    with progress_bar() as progress:
        options: dict[str, Any] = {
            "reference": reference,
            "limit": limit,
            "max_drop": max_drop,
            "public_key": trust.public_key,
            "require_signature": trust.required,
            "progress": progress,
            "notify": warn_of,
        }
        if devices:
            on_cores = api.check_on(artifact, data, devices, **options)
        else:
            report = api.check(artifact, data, **options)
    if devices:
        finish("check", on_cores, as_json, _print_cores)
    else:
        finish("check", report, as_json, _print)


def _print_cores(report: "CoresReport") -> None:
    from nf_edge.render.cores import cores_lines, cores_table

    show(cores_table(report.cores))
    print_lines(cores_lines(report.cores))


def _print(report: "AccuracyReport") -> None:
    from nf_edge import render

    show(render.accuracy_table(report))
    print_lines(render.accuracy_lines(report))
