"""`nf-edge sweep`: compare several recipes for one checkpoint."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.options import (
    device_option,
    json_option,
    out_option,
    overwrite_option,
    recipe_option,
    timing_options,
)
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar, warn
from nf_edge.cli.row_options import (
    calibrate_option,
    data_option,
    limit_option,
    row_format_options,
    train_option,
)
from nf_edge.cli.usage import OVERWRITE_ALONE, refuse

if TYPE_CHECKING:
    from nf_edge.pipeline.sweep import SweepReport
    from nf_edge.render.table import Part

EPILOG = """\b
Examples:
  nf-edge sweep digits --data digits:test --calibrate digits:train -o digits-sweep
  nf-edge sweep ./my-model --data dev.tsv --recipe onnx-fp32 --recipe onnx-int4 --recipe mine.yaml
  nf-edge sweep digits --data digits:test --train digits:train --device rpi-zero-2w
"""


@click.command("sweep", epilog=EPILOG)
@click.argument("checkpoint")
@data_option(required=True)
@recipe_option("recipes", default="all bundled recipes that suit CHECKPOINT, onnx-fp32 first")
@device_option
@calibrate_option
@train_option()
@row_format_options
@limit_option()
@timing_options
@out_option("Folder to keep the artifacts in, one folder for each recipe, with sweep.json and sweep.html")
@overwrite_option
@json_option
def command(
    checkpoint: str, data: str, out: Path | None, overwrite: bool, as_json: bool, **options: Any
) -> None:
    """Compare several recipes for CHECKPOINT: size, memory, latency on this machine, and answers.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Each artifact runs from its file.  Its answers are compared with the checkpoint's on the same rows, with
    95 % intervals.  All artifacts are timed in interleaved rounds.  By default, a prefill has the length of a
    row of the data.  Recipes that prune need --train; otherwise they are left out.  If an artifact fails a
    gate (exit 4 or 5), its recipe is still measured, and marked.
    """
    from nf_edge.pipeline import api

    refuse((overwrite and out is None, OVERWRITE_ALONE))
    options |= {"out": out, "overwrite": overwrite, "notify": warn}
    with progress_bar() as progress:
        report = api.sweep(checkpoint, data, progress=progress, **options)
    finish("sweep", report, as_json, partial(_parts, out))


def _parts(out: Path | None, report: "SweepReport") -> "list[Part]":
    from nf_edge.pipeline.sweep import PAGE
    from nf_edge.render.sweep import sweep_parts
    from nf_edge.render.table import body

    places = [] if out is None else [f"artifacts: {out}", f"report: {out / PAGE}"]
    return [*sweep_parts(report), body(places)]
