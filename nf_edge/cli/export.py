"""`nf-edge export`: turn a checkpoint into an artifact, and test it."""

from pathlib import Path
from typing import Any

import click

from nf_edge.cli.gate_options import ci_options, limits_options
from nf_edge.cli.options import device_option, json_option, out_option, overwrite_option, recipe_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import progress_bar, warn
from nf_edge.cli.row_options import (
    calibrate_option,
    data_option,
    limit_option,
    row_format_options,
    stride_option,
)
from nf_edge.cli.usage import refuse

# The arguments of `limits_options` and `ci_options`, which a dry run does not take.
LIMITS = ("max_drop", "max_changed", "max_kl", "limits_on")
CI_FILES = ("junit", "summary")
EPILOG = """\b
Examples:
  nf-edge export digits --recipe xnnpack-8da8w --device rpi-zero-2w -o digits-pi
  nf-edge export digits --recipe onnx-fp32 --device pixel-8 --dry-run
  nf-edge export ./my-model --recipe onnx-int8-dynamic --data dev.tsv -o out
"""


@click.command("export", epilog=EPILOG)
@click.argument("checkpoint")
@recipe_option(required=True)
@device_option
@data_option()
@calibrate_option
@row_format_options
@limit_option()
@stride_option
@limits_options
@ci_options
@out_option("Artifact folder to write")
@click.option("--dry-run", is_flag=True, help="Predict the precisions and the memory; write nothing.")
@overwrite_option
@click.option(
    "--keep", is_flag=True, help="Write the artifact even if a check fails; it is marked as failed."
)
@json_option
def command(out: Path | None, keep: bool, dry_run: bool, as_json: bool, **options: Any) -> None:
    """Export CHECKPOINT with a recipe, and test the artifact by running its file.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    The export compares the artifact's logits with PyTorch's, and predicts, plans and measures its memory.
    With --data it checks the accuracy like `nf-edge check`: by the recipe's limits, unless options replace
    them.  An artifact that exceeds the device's budget (exit 4) or a limit (exit 5) is written only with
    --keep.
    """
    from nf_edge.pipeline import api
    from nf_edge.render.artifact import dry_run_parts, export_parts

    limits, files = ({name: options.pop(name) for name in names} for names in (LIMITS, CI_FILES))
    refuse(
        (out is None and not dry_run, "Missing option '-o' / '--out' (or give --dry-run)."),
        (
            options["data"] is None
            and any(v is not None for v in (options["limit"], options["stride"], *limits.values())),
            "--limit, --stride and the limits on answers need --data; give --data, or leave them out.",
        ),
    )
    options |= {"notify": warn}
    if dry_run or out is None:
        finish("export --dry-run", api.dry_run(out=out, **options), as_json, dry_run_parts)
        return
    with progress_bar() as progress:
        result = api.export(out=out, keep=keep, progress=progress, **limits, **files, **options)
    finish("export", result, as_json, export_parts)
