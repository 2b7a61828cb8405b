"""`nf-edge profile`: show the memory of an artifact, or of a checkpoint that is not exported yet."""

from typing import Any

import click

from nf_edge.cli.options import COUNT, device_option, json_option, on_option, recipe_option, signature_options
from nf_edge.cli.output import finish
from nf_edge.cli.progress import warn
from nf_edge.cli.usage import refuse

EPILOG = """\b
Examples:
  nf-edge profile digits-pi --device rpi-5
  nf-edge profile digits-pi --on rpi-5 --device rpi-5
  nf-edge profile digits --recipe xnnpack-8da8w --device rpi-zero-2w
  nf-edge profile shakespeare --recipe onnx-int4 --device rpi-zero-2w --at 64
  nf-edge profile sst2 --recipe onnx-int8-dynamic --device rpi-zero-2w --batch 16
"""


@click.command("profile", epilog=EPILOG)
@click.argument("source", metavar="ARTIFACT|CHECKPOINT")
@recipe_option()
@device_option
@on_option()
@click.option("--at", type=COUNT, metavar="TOKENS", help="Tokens in the context.  [default: the longest]")
@click.option("--batch", type=COUNT, metavar="ROWS", default=1, show_default=True, help="Rows in one run.")
@signature_options
@json_option
def command(source: str, recipe: str | None, on: str | None, as_json: bool, **options: Any) -> None:
    """Show the memory of an artifact, or of a checkpoint that is not exported yet.

    For an ARTIFACT, the report has predicted, planned and measured memory.  Planned memory is read from the
    file.  A native process measures the memory: on this machine, or on an emulated core if --on is given.
    For a CHECKPOINT with --recipe, the report predicts the memory of its artifact.  With --device, exit code
    4 means that the memory does not fit.
    """
    from nf_edge.core.resources import names
    from nf_edge.pipeline import api
    from nf_edge.render.memory import memory_parts

    bundled = source in names("checkpoints", suffix="")
    refuse(
        (on and recipe, "--on needs an ARTIFACT, but --recipe is for a CHECKPOINT; leave out one of them"),
        (
            options["require_signature"] and recipe,
            "--require-signature needs an ARTIFACT, but --recipe is for a CHECKPOINT; leave out one of them",
        ),
        (not recipe and bundled, f"{source} is a checkpoint: give --recipe to predict its memory"),
    )
    report = api.profile(source, recipe=recipe, on=on, notify=warn, **options)
    finish("profile", report, as_json, memory_parts)
