"""`nf-edge export`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.cli.numbers import Drop
from nf_edge.cli.output import finish, json_option, print_lines, progress_bar, show, show_memory, warn_of

if TYPE_CHECKING:
    from nf_edge.pipeline import export as pipeline

EPILOG = """\b
Examples:
  nf-edge export digits --recipe xnnpack-8da8w --device rpi-zero-2w -o digits-pi
  nf-edge export digits --recipe onnx-fp32 --device pixel-8 --dry-run
  nf-edge export ./my-model --recipe onnx-int8-dynamic --data dev.tsv -o out
"""


@click.command("export", epilog=EPILOG)
@click.argument("checkpoint")
@click.option("--recipe", required=True, help="A recipe's name (nf-edge recipes list) or its YAML file.")
@click.option("--device", help="Hold its memory against this device (a name or a YAML file).")
@click.option("--data", help="Labelled rows to check accuracy on: a TSV, CSV or JSONL file, or NAME:SPLIT.")
@click.option("--calibrate", help="Rows to calibrate on, where the recipe does (default: examples.jsonl).")
@click.option("--limit", type=click.IntRange(1), help="Use the first N rows of the data only.")
@click.option("--max-drop", type=Drop(), help="Points of accuracy that may be lost.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and predict its memory; make nothing.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is an artifact.")
@click.option("--keep", is_flag=True, help="Place the artifact even if it fails, marked as failed.")
@json_option
def command(
    checkpoint: str,
    recipe: str,
    device: str | None,
    data: str | None,
    calibrate: str | None,
    limit: int | None,
    max_drop: float | None,
    out: Path | None,
    dry_run: bool,
    overwrite: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Lower CHECKPOINT by a recipe, and examine the artifact from its file.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    The artifact's logits are compared with PyTorch's, its memory is predicted, planned and measured,
    and with --data its accuracy is checked.  Over the device's budget (exit 4) or beyond the accuracy
    limit (exit 5) nothing is placed at OUT unless --keep is given.
    """
    from nf_edge.pipeline import api

    if out is None and not dry_run:
        raise click.UsageError("Missing option '-o' / '--out' (or give --dry-run).")
    if data is None and (limit is not None or max_drop is not None):
        raise click.UsageError(
            "--limit and --max-drop are about the rows of --data: give it, or leave them out."
        )
    if dry_run or out is None:
        plan = api.dry_run(
            checkpoint,
            recipe,
            out,
            device=device,
            data=data,
            calibrate=calibrate,
            limit=limit,
            overwrite=overwrite,
            notify=warn_of,
        )
        finish("export --dry-run", plan, as_json, _print_plan)
        return
    with progress_bar() as progress:
        result = api.export(
            checkpoint,
            recipe,
            out,
            device=device,
            data=data,
            calibrate=calibrate,
            limit=limit,
            max_drop=max_drop,
            overwrite=overwrite,
            keep=keep,
            progress=progress,
            notify=warn_of,
        )
    finish("export", result, as_json, _print)


def _print_plan(plan: "pipeline.DryRun") -> None:
    from nf_edge import render

    layer_reports = [layer_report.to_json() for layer_report in plan.layer_reports]
    print_lines(render.quantization_lines(layer_reports, plan.calibration), title="Quantization")
    show_memory(plan.memory)
    click.echo("Nothing was made.")


def _print(result: "pipeline.Export") -> None:
    from nf_edge import render
    from nf_edge.artifact import GUIDE, REPORT

    manifest = result.manifest
    if manifest.compression:
        print_lines(render.compression_lines(manifest.compression), title="Pruning and recovery")
    print_lines(render.quantization_lines(manifest.quantization, manifest.calibration), title="Quantization")
    print_lines(render.coverage_lines(manifest), title="Operators")
    accelerator = render.accelerator_table(manifest)
    if accelerator:
        print_lines(render.accelerator_lines(manifest), title="Accelerator")
        show(accelerator)
    print_lines(
        render.parity_lines(result.parity) + render.asked_lines(manifest.requires.simulated),
        title="Agreement",
    )
    show_memory(result.memory)
    if result.accuracy:
        show(render.accuracy_table(result.accuracy))
        print_lines(render.accuracy_lines(result.accuracy))
    if result.path:
        places = [
            f"{result.path / manifest.model.name}",
            f"report: {result.path / REPORT}",
            f"how to run it: {result.path / GUIDE}",
        ]
        print_lines(places, title="Artifact")
