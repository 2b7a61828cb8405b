"""`nf-edge export`."""

from pathlib import Path

import click

from nf_edge.commands.common import json_option, print_json, print_lines, progress_bar, show, warn

EPILOG = """\b
Examples:
  nf-edge export digits --recipe xnnpack-8da8w --device rpi-zero-2w -o digits-pi
  nf-edge export ./my-model --recipe onnx-int8-dynamic --data dev.tsv -o out
"""


@click.command("export", epilog=EPILOG)
@click.argument("checkpoint")
@click.option("--recipe", required=True, help="A recipe's name (nf-edge recipes list) or its YAML file.")
@click.option("--device", help="Hold its memory against this device (a name or a YAML file).")
@click.option("--data", help="Labelled rows to check accuracy on: a TSV, CSV or JSONL file, or NAME:SPLIT.")
@click.option("--limit", type=click.IntRange(1), help="Use the first N rows of the data only.")
@click.option("--max-drop", type=click.FloatRange(0, 100), help="Accuracy points that may be lost.")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is an artifact.")
@click.option("--keep", is_flag=True, help="Place the artifact even if it fails, marked as failed.")
@json_option
def command(
    checkpoint: str,
    recipe: str,
    device: str | None,
    data: str | None,
    limit: int | None,
    max_drop: float | None,
    out: Path,
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
    from nf_edge import render
    from nf_edge.artifact import MANIFEST, REPORT
    from nf_edge.backends import backend_for
    from nf_edge.data.rows import load_rows
    from nf_edge.device import load_device
    from nf_edge.files import check_target
    from nf_edge.model import resolve_checkpoint
    from nf_edge.pipeline import export
    from nf_edge.recipe import load_recipe

    the_recipe = load_recipe(recipe)
    backend_for(the_recipe)
    the_device = load_device(device) if device else None
    check_target(out, overwrite=overwrite, marker=MANIFEST)
    the_checkpoint = resolve_checkpoint(checkpoint)
    warn(the_checkpoint.warnings)
    rows = load_rows(data, the_checkpoint, limit) if data else None
    with progress_bar() as progress:
        result = export(
            the_checkpoint,
            the_recipe,
            out,
            device=the_device,
            rows=rows,
            max_drop=None if max_drop is None else max_drop / 100,
            overwrite=overwrite,
            keep=keep,
            progress=progress,
        )
    if as_json:
        print_json("export", {"path": str(result.path) if result.path else None, **result.manifest.to_json()})
    else:
        print_lines(render.quantization_lines(result.manifest), title="Quantization")
        print_lines(render.coverage_lines(result.manifest), title="Operators")
        print_lines(render.parity_lines(result.parity), title="Agreement")
        for table in render.memory_tables(result.memory):
            show(table)
        print_lines(render.memory_lines(result.memory))
        if result.memory.verdict:
            print_lines(render.verdict_lines(result.memory.verdict))
        if result.accuracy:
            show(render.accuracy_table(result.accuracy))
            print_lines(render.accuracy_lines(result.accuracy))
        if result.path:
            model = result.manifest.model.name
            print_lines(
                [
                    f"{result.path / model}",
                    f"report: {result.path / REPORT}",
                    f"how to run it: {result.path / 'RUN.md'}",
                ],
                title="Artifact",
            )
    if result.failure:
        raise result.failure
