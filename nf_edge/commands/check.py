"""`nf-edge check`."""

from pathlib import Path

import click

from nf_edge.commands.common import json_option, print_json, print_lines, progress_bar, show, warn
from nf_edge.commands.emulated import emulated, on_option
from nf_edge.commands.numbers import Drop
from nf_edge.commands.trust import Trust, open_artifact, trust_options

# Rows that are asked where every one takes an emulated core a while.
SAMPLE = 100
EPILOG = """\b
Examples:
  nf-edge check digits-pi --data digits:test
  nf-edge check digits-pi --data digits:test --on rpi-zero-2w,rpi-5,pixel-8
  nf-edge check out --data dev.tsv --reference ./my-model --max-drop 0.5
"""


@click.command("check", epilog=EPILOG)
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--data", required=True, help="Labelled rows: a TSV, CSV or JSONL file, or NAME:SPLIT.")
@click.option(
    "--reference",
    help="The checkpoint it was made of, or the one that `compress` made that of (default: the bundled one "
    "of its name).",
)
@click.option(
    "--limit", type=click.IntRange(1), help=f"Use the first N rows only (with --on: {SAMPLE} by default)."
)
@click.option("--max-drop", type=Drop(), help="Points of accuracy that may be lost.")
@on_option
@trust_options
@json_option
def command(
    artifact: Path,
    data: str,
    reference: str | None,
    limit: int | None,
    max_drop: float | None,
    on: str | None,
    trust: Trust,
    as_json: bool,
) -> None:
    """Accuracy of an ARTIFACT, loaded from its file and run on this CPU, beside its checkpoint's.

    Both are asked the same rows.  A drop beyond --max-drop, or else beyond the recipe's own limit, is
    exit code 5.  With --on the file is run on the cores of those devices too, emulated; each of them is held
    to the limit, and its answers are compared with those that the file gives here.
    """
    from nf_edge import render
    from nf_edge.accuracy.check import check, enforce
    from nf_edge.artifact import reference_of
    from nf_edge.backends import backend_for
    from nf_edge.data.rows import load_rows, read_rows

    the_artifact = open_artifact(artifact, trust)
    manifest = the_artifact.manifest
    checkpoint = reference_of(the_artifact, reference)
    warn(checkpoint.warnings)
    cores = emulated(on)
    if cores and limit is None:
        limit = SAMPLE
    backend, bounds = backend_for(manifest.recipe), manifest.interface.bounds
    rows = load_rows(data, checkpoint, limit, length=bounds.length)
    own = None
    if manifest.config.vocab_size != checkpoint.config.vocab_size:
        own = read_rows(data, manifest.config, the_artifact.tokenizer_file, limit, length=bounds.length)
    warn(rows.warnings)
    model = checkpoint.model()
    most = manifest.recipe.limits.max_drop if max_drop is None else max_drop
    if cores:
        from nf_edge.accuracy.cores import check_on, enforce_on
        from nf_edge.render_cores import cores_lines, cores_table

        with progress_bar() as progress:
            reports = check_on(
                cores, backend, the_artifact.model_file, model, bounds, rows, most, progress, own=own
            )
        if as_json:
            print_json("check", [report.to_json() for report in reports])
        else:
            show(cores_table(reports))
            print_lines(cores_lines(reports))
        enforce_on(reports)
        return
    with progress_bar() as progress:
        report = check(
            model,
            backend.load(the_artifact.model_file, bounds),
            bounds,
            rows,
            most,
            progress,
            own=own,
        )
    if as_json:
        print_json("check", report.to_json())
    else:
        show(render.accuracy_table(report))
        print_lines(render.accuracy_lines(report) + render.asked_lines(manifest))
    enforce(report)
