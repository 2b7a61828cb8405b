"""`nf-edge bench`: measure the latency of artifacts."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import PATH, json_option, signature_options, timing_options
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar, warn

EPILOG = """\b
Examples:
  nf-edge bench digits-pi
  nf-edge bench play --lengths 16,128 --contexts 64 --threads 1,2
  nf-edge bench play --against play-onnx --against play-int8
"""


@click.command("bench", epilog=EPILOG)
@click.argument("artifact", type=PATH)
@click.option(
    "--against", multiple=True, type=PATH, metavar="OTHER", help="Another artifact; may be repeated."
)
@timing_options
@signature_options
@json_option
def command(artifact: Path, against: tuple[Path, ...], as_json: bool, **options: Any) -> None:
    """Measure the latency of an ARTIFACT on this machine: loading, prefill, and decoding token by token.

    A native process runs the file if the runtime has one, otherwise Python; the report says which.  With
    --against, the artifacts run in interleaved rounds.  The ratios of their medians show how many times as
    fast ARTIFACT is as each of the others.
    """
    from nf_edge.pipeline import api
    from nf_edge.render.latency import latency_parts

    with progress_bar() as progress:
        report = api.bench(artifact, *against, progress=progress, notify=warn, **options)
    finish("bench", report, as_json, latency_parts)
