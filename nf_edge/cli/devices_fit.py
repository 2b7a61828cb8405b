"""`nf-edge devices fit`: show which recipes of a checkpoint fit which devices."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.options import devices_option, json_option, page_options, recipe_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn
from nf_edge.cli.usage import refuse

if TYPE_CHECKING:
    from nf_edge.pipeline.devices_fit import DevicesFit
    from nf_edge.render.table import Part

EPILOG = """\b
Examples:
  nf-edge devices fit sst2
  nf-edge devices fit sst2 --device rpi-pico-2
  nf-edge devices fit ./my-model --recipe onnx-int4 --recipe nf-int8 --html fit.html
"""


@click.command("fit", epilog=EPILOG)
@click.argument("checkpoint")
@recipe_option("recipes", default="all bundled recipes", remark="")
@devices_option
@page_options
@json_option
def fit(checkpoint: str, html: Path | None, as_json: bool, **options: Any) -> None:
    """Show which recipes of CHECKPOINT fit which devices.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).  Only its config.json is
    read.  Each verdict is the one that `nf-edge profile CHECKPOINT --recipe R --device D` gives.

    With one recipe or one device, the report shows each verdict.  If the memory is too small, it also shows
    what would fit: the most tokens (shapes.length), and the next smaller recipe.

    Without --device the exit code is 0.  With --device it is 4 if one of these devices fits none of the
    recipes.
    """
    from nf_edge.pipeline import api

    refuse((options["overwrite"] and html is None, "--overwrite needs --html."))
    report = api.devices_fit(checkpoint, html=html, notify=warn, **options)
    finish("devices fit", report, as_json, partial(_parts, html))


def _parts(html: Path | None, report: "DevicesFit") -> "list[Part]":
    from nf_edge.render.devices_fit import devices_fit_parts
    from nf_edge.render.table import body

    return [*devices_fit_parts(report), body([] if html is None else [f"heat map: {html}"])]
