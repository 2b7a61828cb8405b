"""`nf-edge compare`: compare models that are exported with one recipe."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import (
    device_option,
    json_option,
    out_option,
    overwrite_option,
    preset_option,
    rank_option,
    recipe_option,
    timing_options,
)
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar, warn
from nf_edge.cli.row_options import calibrate_option, row_format_options
from nf_edge.cli.usage import OVERWRITE_ALONE, refuse

EPILOG = """\b
Examples:
  nf-edge compare --preset gpt2 --recipe nf-int8 --lengths 128,512
  nf-edge compare --preset distilgpt2 --recipe onnx-fp32 --device rpi-5 -o trio
  nf-edge compare ./my-noiseformer ./my-gpt2 --recipe xnnpack-8da8w
"""


@click.command("compare", epilog=EPILOG)
@click.argument("checkpoints", nargs=-1, metavar="[CHECKPOINT CHECKPOINT…]")
@preset_option()
@rank_option
@recipe_option(required=True)
@device_option
@calibrate_option
@row_format_options
@timing_options
@out_option("Folder to keep the artifacts in, one folder for each model")
@overwrite_option
@json_option
def command(
    checkpoints: tuple[str, ...],
    preset: str | None,
    rank: int | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Compare models exported with one recipe: size, memory, and latency on this machine.

    The first CHECKPOINT is compared with each of the others.  With --preset, the command compares three
    models of that shape with random weights: a NoiseFormer (symmetric attention and low-rank noise of
    --rank), a GPT-2 (standard attention), and a model with symmetric attention and no noise.  The artifacts
    run in interleaved rounds.  The ratios have 95 % intervals.
    """
    from nf_edge.pipeline.api.compare import compare_named
    from nf_edge.render.comparison import comparison_parts

    refuse(
        (
            preset and checkpoints,
            "--preset makes the models itself; leave out either --preset or the checkpoints.",
        ),
        (
            not preset and len(checkpoints) < 2,
            f"Give at least two checkpoints (not {len(checkpoints)}), or a --preset.",
        ),
        (
            rank and not preset,
            "--rank needs --preset, because the rank of a checkpoint is fixed; leave --rank out.",
        ),
        (overwrite and out is None, OVERWRITE_ALONE),
    )
    options |= {"out": out, "overwrite": overwrite, "notify": warn}
    with progress_bar() as progress:
        report = compare_named(checkpoints, preset, rank, progress=progress, **options)
    finish("compare", report, as_json, comparison_parts)
