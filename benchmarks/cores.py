"""Runs bundled models with several recipes on emulated cores of devices; prints a table in Markdown.

    nf-edge doctor --fix emulation
    python benchmarks/cores.py --data-root data [--limit 64] [--on rpi-zero-2w,rpi-5] > cores.md

The data folder is the one of benchmarks/compressions.py.  Without it `sst2` and `shakespeare` use their
examples. Seconds per row are those of the emulation, with one process per CPU of this machine.  They say
nothing about the core.
"""

import argparse
import tempfile
import time
from pathlib import Path

from compressions import sources

from nf_edge.artifact import load_artifact
from nf_edge.core.recipe.recipe import Limits, load_recipe
from nf_edge.measure.accuracy.cores import OnCore, check_on
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.emulation import emulated_cores
from nf_edge.model import resolve_checkpoint
from nf_edge.model.data.rows import load_rows
from nf_edge.pipeline.export import export

MODELS = ("digits", "sst2", "shakespeare")
RECIPES = ("xnnpack-fp32", "xnnpack-8da8w", "xnnpack-8da4w", "xnnpack-int8", "nf-int8", "onnx-int8-dynamic")
DEVICES = "rpi-zero-2w,rpi-4b,rpi-5,galaxy-s23"
COLUMNS = (
    "model",
    "recipe",
    "on",
    "accuracy",
    "perplexity",
    "changed answers",
    "changed from here",
    "logits' difference from here",
    "s per row",
)


def line(model: str, recipe: str, report: OnCore, seconds: float) -> str:
    comparison, local = report.accuracy.comparison, report.local
    perplexity = comparison.artifact.perplexity
    cells = (
        model,
        recipe,
        report.core.name,
        f"{100 * comparison.artifact.share:.2f} %",
        "" if perplexity is None else f"{perplexity:.2f}",
        f"{comparison.divergence.flips} of {comparison.divergence.questions}",
        str(local.flips),
        f"{100 * local.share:.2g} %",
        f"{seconds:.2f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--on", default=DEVICES)
    arguments = parser.parse_args()
    data = (
        {name: each.test for name, each in sources(arguments.data_root).items()}
        if arguments.data_root
        else {}
    )
    cores = emulated_cores(arguments.on.split(","))
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for model in MODELS:
        checkpoint = resolve_checkpoint(model)
        source = data.get(model) or ("digits:test" if model == "digits" else str(checkpoint.examples_file))
        rows = load_rows(source, checkpoint, arguments.limit)
        for recipe in RECIPES:
            with tempfile.TemporaryDirectory() as scratch:
                artifact = load_artifact(
                    export(checkpoint, load_recipe(recipe), Path(scratch, "out"), keep=True).path
                )
                began = time.monotonic()
                report = check_on(
                    cores, artifact.runnable(), checkpoint.reference(), PairedRows(rows), Limits()
                )
                seconds = (time.monotonic() - began) / (len(rows.rows) * len(cores))
            for on_core in report.cores:
                print(line(model, recipe, on_core, seconds), flush=True)


if __name__ == "__main__":
    main()
