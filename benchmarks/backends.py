"""Bundled models on every backend whose packages are here, as one table in Markdown.

    python benchmarks/backends.py [--data-root data] [--limit 300] [--models …] [--recipes …] > backends.md

`digits` is asked its test split, `sst2` rows of `SST-2/dev.tsv`, anywhere in that folder, and without it, as
any other model, its own examples.  The device is the bundled one that prefers the recipe's backend most;
memory is held against its budget as an export does, RAM of a microcontroller without the file, which lies in
flash there; where no device is bundled, it is that of a process here.  Cycles and time are what an NPU's
compiler expects of a run, without the host's part.  Answers are the runtime's, or those of what stands in for
a device that is not here.  What does not fit is told, and so is what cannot be made.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from compressions import found

from nf_edge.backends import REGISTRY, missing_packages
from nf_edge.core import resources
from nf_edge.core.compatibility import devices_for
from nf_edge.core.device import Device
from nf_edge.core.errors import NfEdgeError
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.core.recipe.recipe import Recipe, load_recipe
from nf_edge.measure.memory import MemoryReport
from nf_edge.model import Checkpoint, resolve_checkpoint
from nf_edge.model.data.rows import Rows, load_rows
from nf_edge.pipeline.export import Export, export
from nf_edge.render.coverage import share_text

COLUMNS = (
    "model",
    "recipe",
    "device",
    "operators",
    "multiply-accumulates",
    "cycles and time, simulated",
    "file",
    "RAM",
    "flash",
    "accuracy",
    "drop, points",
    "changed answers",
    "answers by",
)
NONE = "–"


def row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cells_of(device: Device | None, made: Export) -> list[str]:
    """The cells of an artifact, after model and recipe."""
    manifest, accuracy = made.manifest, made.accuracy
    assert accuracy is not None
    coverage, comparison = manifest.coverage, accuracy.comparison
    estimate, verdict = manifest.reports["accelerator"], made.memory.verdict
    low, high = comparison.drop_interval
    told = {name: Figure(**estimate[name]) for name in ("cycles", "time")} if estimate else {}
    return [
        f"{device.id}: {verdict.outcome}" if device and verdict else "none bundled",
        share_text(coverage["delegated"], coverage["total"]),
        share_text(coverage["macs"], coverage["total_macs"]),
        f"{told['cycles']}; {told['time']}" if told else NONE,
        str(made.memory.file_total.planned),
        memory_cell(made.memory, ("dram", "sram")) if verdict else str(made.memory.process_total.measured),
        memory_cell(made.memory, ("flash",)),
        f"{100 * comparison.artifact.share:.2f} % of {comparison.artifact.total:,}",
        f"{comparison.drop:+.2f} ({low:+.2f} to {high:+.2f})",
        f"{comparison.divergence.flips:,}",
        manifest.requires.simulated or manifest.requires.runtime,
    ]


def memory_cell(memory: MemoryReport, kinds: tuple[str, ...]) -> str:
    """What is needed of a device's memory of one of those kinds, and the share of its budget that it is."""
    needed = [
        f"{share.need}, {100 * share.used:.2f} % of {format_bytes(share.budget)}"
        for share in (memory.verdict.shares if memory.verdict else ())
        if share.kind in kinds
    ]
    return "; ".join(needed) or NONE


def rows_of(model: str, checkpoint: Checkpoint, data: Path | None, limit: int) -> Rows:
    if model == "digits":
        return load_rows("digits:test", checkpoint, limit)
    dev = found(data, "SST-2/dev.tsv") if model == "sst2" and data else checkpoint.examples_file
    return load_rows(str(dev), checkpoint, limit)


def line(model: str, recipe: Recipe, data: Path | None, limit: int) -> str:
    """The row of a model by a recipe."""
    checkpoint, device = resolve_checkpoint(model), next(iter(devices_for(recipe)), None)
    rows = rows_of(model, checkpoint, data, limit)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            made = export(checkpoint, recipe, Path(scratch, "out"), device=device, rows=rows, keep=True)
            cells = cells_of(device, made)
        except NfEdgeError as error:
            cells = [f"not made: {error}".replace("\n", " "), *[NONE] * (len(COLUMNS) - 3)]
    return row([f"`{model}`", f"`{recipe.name}`", *cells])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--models", nargs="*", default=["digits", "sst2"])
    parser.add_argument("--recipes", nargs="*", default=resources.names("recipes"))
    arguments = parser.parse_args()
    print(row(list(COLUMNS)))
    print(row(["---"] * len(COLUMNS)))
    for recipe in map(load_recipe, arguments.recipes):
        if recipe.shrinks:
            continue
        if missing := missing_packages(REGISTRY[recipe.backend].packages):
            print(f"backends: no {', '.join(missing)} for {recipe.name}", file=sys.stderr)
            continue
        for model in arguments.models:
            print(line(model, recipe, arguments.data_root, arguments.limit), flush=True)


if __name__ == "__main__":
    main()
