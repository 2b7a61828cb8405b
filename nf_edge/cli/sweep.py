"""`nf-edge sweep`."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.cli.output import finish, json_option, print_lines, progress_bar, show, warn_of
from nf_edge.cli.timing_options import timing_options

if TYPE_CHECKING:
    from nf_edge.pipeline.sweep import SweepReport

EPILOG = """\b
Examples:
  nf-edge sweep digits --data digits:test --calibrate digits:train -o digits-sweep
  nf-edge sweep ./my-model --data dev.tsv --recipe onnx-fp32 --recipe onnx-int4 --recipe mine.yaml
  nf-edge sweep digits --data digits:test --train digits:train --device rpi-zero-2w
"""


@click.command("sweep", epilog=EPILOG)
@click.argument("checkpoint")
@click.option("--data", required=True, help="Labelled rows: a TSV, CSV or JSONL file, or NAME:SPLIT.")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    help="A recipe's name or its YAML file; give it several times, the baseline first (default: the bundled "
    "ones that suit, onnx-fp32 first).",
)
@click.option("--device", help="Hold the memory of each against this device (a name or a YAML file).")
@click.option("--calibrate", help="Rows to calibrate on, where a recipe does (default: examples.jsonl).")
@click.option("--train", help="Rows, or text, for recipes that prune and recover; else these are left out.")
@click.option("--limit", type=click.IntRange(1), help="Use the first N rows of the data only.")
@timing_options
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Keep the artifacts here, a folder for each recipe, with sweep.json and sweep.html.",
)
@click.option("--overwrite", is_flag=True, help="Replace what an earlier sweep left in OUT.")
@json_option
def command(
    checkpoint: str,
    data: str,
    recipes: tuple[str, ...],
    device: str | None,
    calibrate: str | None,
    train: str | None,
    limit: int | None,
    lengths: list[int] | None,
    contexts: list[int] | None,
    threads: list[int],
    repeats: int,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """CHECKPOINT by several recipes side by side: size, memory, latency here, and answers.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Each artifact is loaded from its file.  Its answers are held against the checkpoint's on the same rows,
    with 95 % intervals, and all are timed turn about.  By default a prefill is as long as a row of the data.
    A recipe whose artifact does not pass a gate (exit 4 or 5) is told like the others, marked.
    """
    from nf_edge.pipeline import api

    if overwrite and out is None:
        raise click.UsageError("--overwrite belongs to -o / --out.")
    with progress_bar() as progress:
        report = api.sweep(
            checkpoint,
            data,
            recipes=recipes,
            device=device,
            calibrate=calibrate,
            train=train,
            limit=limit,
            lengths=lengths,
            contexts=contexts,
            threads=threads,
            repeats=repeats,
            out=out,
            overwrite=overwrite,
            progress=progress,
            notify=warn_of,
        )
    finish("sweep", report, as_json, partial(_print, out))


def _print(out: Path | None, report: "SweepReport") -> None:
    from nf_edge.pipeline.sweep import PAGE
    from nf_edge.render.sweep import summary_lines, sweep_lines, sweep_tables

    for table in sweep_tables(report):
        show(table)
    print_lines(sweep_lines(report))
    print_lines(summary_lines(report))
    if out is not None:
        print_lines([f"artifacts: {out}", f"report: {out / PAGE}"])
