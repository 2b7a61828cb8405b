"""`nf-edge sensitivity`: measure the cost of quantizing each layer, and find a mixed-precision recipe."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.gate_options import max_drop_option
from nf_edge.cli.options import json_option, out_option, overwrite_option, recipe_option
from nf_edge.cli.output import finish
from nf_edge.cli.param_types import Finite, Size
from nf_edge.cli.progress import progress_bar, warn
from nf_edge.cli.row_options import calibrate_option, data_option, limit_option, row_format_options
from nf_edge.cli.usage import refuse
from nf_edge.core.defaults import SENSITIVITY_ROWS

if TYPE_CHECKING:
    from nf_edge.pipeline.mixed_precision import SensitivityReport
    from nf_edge.render.table import Part

EPILOG = """\b
Examples:
  nf-edge sensitivity digits --recipe xnnpack-8da4w
  nf-edge sensitivity digits --recipe xnnpack-8da4w --file-size 150kB -o small.yaml
  nf-edge sensitivity ./my-model --recipe onnx-int4 --data train.tsv --kl 0.01 -o mine.yaml
"""


@click.command("sensitivity", epilog=EPILOG)
@click.argument("checkpoint")
@recipe_option(required=True)
@data_option(default="the checkpoint's examples.jsonl")
@calibrate_option
@row_format_options
@limit_option(SENSITIVITY_ROWS)
@click.option(
    "--file-size", type=Size(), help="Largest accepted model file, such as 300kB; loses the least accuracy."
)
@click.option(
    "--kl",
    type=Finite(0, min_open=True),
    metavar="NATS",
    help="Largest accepted divergence of the answers, in nats; gives the smallest file.",
)
@max_drop_option()
@out_option("Recipe file to write, NAME.yaml")
@overwrite_option
@json_option
def command(
    checkpoint: str,
    file_size: int | None,
    kl: float | None,
    max_drop: float | None,
    out: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure the cost of quantizing each layer and table of CHECKPOINT, and write a mixed-precision recipe.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    A unit is a layer or a table.  PyTorch quantizes one unit at a time to every precision of the recipe's
    runtime, and compares the answers with the checkpoint's.  The recipe sets the backend and the activations.

    With a target (--file-size, --kl or --max-drop) and -o, a search chooses a precision for each unit.  It
    exports the artifact and measures its file.  It also measures recipes of the backend with one precision
    for all units; if one of these is best, it is written.  If no recipe meets the target, nothing is written:
    exit 4 for a size, exit 5 for a loss.
    """
    from nf_edge.pipeline import api

    targets: dict[str, Any] = {"file_size": file_size, "kl": kl, "max_drop": max_drop}
    given = sum(target is not None for target in targets.values())
    refuse(
        (given > 1, "Give only one of --file-size, --kl and --max-drop."),
        (
            bool(given) != (out is not None),
            "A new recipe needs a target (--file-size, --kl or --max-drop) and -o; give both, or neither.",
        ),
    )
    with progress_bar() as progress:
        report = api.sensitivity(checkpoint, out=out, progress=progress, notify=warn, **targets, **options)
    finish("sensitivity", report, as_json, partial(_parts, checkpoint))


def _parts(checkpoint: str, report: "SensitivityReport") -> "list[Part]":
    from nf_edge.render.checkpoint import export_line
    from nf_edge.render.sensitivity import sensitivity_parts
    from nf_edge.render.table import body

    path = report.path
    hint = [] if path is None else [export_line(checkpoint, path, path.stem)]
    return [*sensitivity_parts(report), body(hint)]
