"""Exports bundled models for every backend whose packages are installed; prints one table in Markdown.

    python benchmarks/backends.py [--data-root data] [--limit 300] [--models …] [--recipes …] > backends.md

Data: `digits` uses its test split, and `sst2` rows of `SST-2/dev.tsv`, anywhere in the data folder.  Without
that folder, and for any other model, the checkpoint's examples are used.

Device: the bundled device that prefers the recipe's backend most.  Memory is compared with its budget as in
an export; on a microcontroller the file is in flash and not in RAM.  If no bundled device has the backend,
memory is that of a process on this machine.

Cycles and time are the estimates of an NPU's compiler, without the host's part.  Answers come from the
runtime, or from the simulator or reference graph that replaces it here.  Artifacts that do not fit, and
exports that fail, have a row too.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from compressions import find_file

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


def cells_of(device: Device | None, result: Export) -> list[str]:
    """The cells of an artifact's row, without model and recipe."""
    manifest, accuracy = result.manifest, result.accuracy
    assert accuracy is not None
    coverage, comparison = manifest.coverage, accuracy.comparison
    estimate, verdict = manifest.reports["accelerator"], result.memory.verdict
    low, high = comparison.drop_interval
    cost = {name: Figure(**estimate[name]) for name in ("cycles", "time")} if estimate else {}
    return [
        f"{device.id}: {verdict.outcome}" if device and verdict else "none bundled",
        share_text(coverage["delegated"], coverage["total"]),
        share_text(coverage["macs"], coverage["total_macs"]),
        f"{cost['cycles']}; {cost['time']}" if cost else NONE,
        str(result.memory.file_total.planned),
        memory_cell(result.memory, ("dram", "sram"))
        if verdict
        else str(result.memory.process_total.measured),
        memory_cell(result.memory, ("flash",)),
        f"{100 * comparison.artifact.share:.2f} % of {comparison.artifact.total:,}",
        f"{comparison.drop:+.2f} ({low:+.2f} to {high:+.2f})",
        f"{comparison.divergence.flips:,}",
        manifest.requires.simulated or manifest.requires.runtime,
    ]


def memory_cell(memory: MemoryReport, kinds: tuple[str, ...]) -> str:
    """The bytes needed in the device's memories of these kinds, and their share of the budgets."""
    needs = [
        f"{share.need}, {100 * share.used:.2f} % of {format_bytes(share.budget)}"
        for share in (memory.verdict.shares if memory.verdict else ())
        if share.kind in kinds
    ]
    return "; ".join(needs) or NONE


def rows_of(model: str, checkpoint: Checkpoint, data: Path | None, limit: int) -> Rows:
    if model == "digits":
        return load_rows("digits:test", checkpoint, limit)
    dev = find_file(data, "SST-2/dev.tsv") if model == "sst2" and data else checkpoint.examples_file
    return load_rows(str(dev), checkpoint, limit)


def line(model: str, recipe: Recipe, data: Path | None, limit: int) -> str:
    """The table row of a model with a recipe."""
    checkpoint, device = resolve_checkpoint(model), next(iter(devices_for(recipe)), None)
    rows = rows_of(model, checkpoint, data, limit)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            result = export(checkpoint, recipe, Path(scratch, "out"), device=device, rows=rows, keep=True)
            cells = cells_of(device, result)
        except NfEdgeError as error:
            cells = [f"failed: {error}".replace("\n", " "), *[NONE] * (len(COLUMNS) - 3)]
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
            print(f"backends: skipped {recipe.name}, not installed: {', '.join(missing)}", file=sys.stderr)
            continue
        for model in arguments.models:
            print(line(model, recipe, arguments.data_root, arguments.limit), flush=True)


if __name__ == "__main__":
    main()
