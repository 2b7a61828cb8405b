"""`nf-edge sensitivity`."""

import re
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.numbers import Drop, Finite
from nf_edge.cli.output import finish, json_option, print_lines, progress_bar, show, warn_of
from nf_edge.pipeline.loading import SENSITIVITY_ROWS

if TYPE_CHECKING:
    from nf_edge.pipeline.mixed_precision.search import SensitivityReport

EPILOG = """\b
Examples:
  nf-edge sensitivity digits --recipe xnnpack-8da4w
  nf-edge sensitivity digits --recipe xnnpack-8da4w --file-size 150kB -o small.yaml
  nf-edge sensitivity ./my-model --recipe onnx-int4 --data train.tsv --kl 0.01 -o mine.yaml
"""


class Size(click.ParamType):
    """A number of bytes: `300kB`, `2 MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from nf_edge.core.device import parse_size

        try:
            return parse_size(re.sub(r"^([0-9]+) *", r"\1 ", value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command("sensitivity", epilog=EPILOG)
@click.argument("checkpoint")
@click.option(
    "--recipe", required=True, help="A recipe's name or its YAML file: its backend and activations are kept."
)
@click.option(
    "--data",
    help="Rows to compare answers on: a TSV, CSV or JSONL file, or NAME:SPLIT (default: examples.jsonl).",
)
@click.option("--calibrate", help="Rows to calibrate on, where the recipe does (default: examples.jsonl).")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=SENSITIVITY_ROWS,
    show_default=True,
    help="Use the first N rows only.",
)
@click.option(
    "--file-size",
    type=Size(),
    help="Write the recipe with the least loss whose model file has at most this size, such as 300kB.",
)
@click.option(
    "--kl",
    type=Finite(0, min_open=True),
    help="Write the recipe with the smallest file whose answers diverge by at most so many nats.",
)
@click.option(
    "--max-drop",
    type=Drop(),
    help="The same, that loses at most so many points of accuracy.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Recipe file to write, NAME.yaml.")
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT.")
@json_option
def command(
    checkpoint: str,
    recipe: str,
    data: str | None,
    calibrate: str | None,
    limit: int,
    file_size: int | None,
    kl: float | None,
    max_drop: float | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """What quantizing each layer and table of CHECKPOINT costs, and a mixed-precision recipe by that.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Each unit is quantized alone, in PyTorch, to each precision that the recipe's runtime has, and the answers
    are compared with the checkpoint's.  With a target (--file-size, --kl or --max-drop) a recipe is written
    that gives each unit its own precision; its artifact is made, and measured from its file.  So are those of
    the backend's recipes that treat all units alike: where one of them is best, it is what is written.  If
    none meets the target nothing is written: exit 4 for a size, exit 5 for a loss.
    """
    from nf_edge.pipeline import api

    targets = [each for each in (file_size, kl, max_drop) if each is not None]
    if len(targets) > 1:
        raise click.UsageError("--file-size, --kl and --max-drop exclude each other; give one.")
    if bool(targets) != (out is not None):
        raise click.UsageError("A recipe is written with a target and -o: give both, or neither.")
    with progress_bar() as progress:
        report = api.sensitivity(
            checkpoint,
            recipe,
            data=data,
            calibrate=calibrate,
            limit=limit,
            file_size=file_size,
            kl=kl,
            max_drop=max_drop,
            out=out,
            overwrite=overwrite,
            progress=progress,
            notify=warn_of,
        )
    finish("sensitivity", report, as_json, partial(_print, checkpoint))


def _print(checkpoint: str, report: "SensitivityReport") -> None:
    from nf_edge.render import Table
    from nf_edge.render.sensitivity import sensitivity_parts

    for part in sensitivity_parts(report):
        if isinstance(part, Table):
            show(part)
        else:
            print_lines(part)
    if report.path is not None:
        place = shlex.quote(str(report.path))
        click.echo(f"next: nf-edge export {shlex.quote(checkpoint)} --recipe {place} -o {report.path.stem}")
