"""Bundled classifiers on every backend whose packages are here, as a table in Markdown.

    python benchmarks/backends.py [--data-root data] [--limit 300] [--recipes coreml-fp16 …] > backends.md

`sst2` is asked rows of `SST-2/dev.tsv`, anywhere in that folder, and without it its own examples; `digits`
its test split.  The last column tells whose answers they are: the runtime's, or those of what stands in for
a device that is not here.  Cycles are what an NPU's compiler expects, without the host's part.  Memory is
what the file plans, without pages of the file itself.
"""

import argparse
import tempfile
from pathlib import Path

from compressions import found

from nf_edge import resources
from nf_edge.backends import REGISTRY, backend_for, missing_packages
from nf_edge.data.rows import load_rows
from nf_edge.model import resolve_checkpoint
from nf_edge.pipeline import Export, export
from nf_edge.recipe import Recipe, load_recipe

COLUMNS = (
    "model",
    "recipe",
    "operators in it",
    "cycles",
    "file",
    "memory",
    "right",
    "drop",
    "changed",
    "answers by",
)
# Parts of the process that are in its heap.
HEAP = ("weights and graph in heap", "arenas", "workspace")


def line(model: str, recipe: Recipe, made: Export) -> str:
    coverage, accuracy = made.manifest.coverage, made.accuracy
    assert accuracy is not None
    comparison, estimate = accuracy.comparison, made.manifest.reports["accelerator"]
    planned = {entry.name: entry.planned.value for entry in made.memory.process}
    backend = backend_for(recipe)
    cells = (
        f"`{model}`",
        f"`{recipe.name}`",
        f"{coverage['delegated']} of {coverage['total']}" if coverage else "",
        f"{estimate['cycles']['value']:,.0f}" if estimate else "",
        f"{(made.memory.file_total.planned.value or 0) / 1e3:,.0f} kB",
        f"{sum(planned[part] or 0 for part in HEAP) / 1e3:,.0f} kB",
        f"{comparison.artifact.right} of {comparison.artifact.total}",
        f"{100 * comparison.drop:+.2f}",
        str(comparison.faithful.flips),
        backend.simulated or backend.runtime,
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--recipes", nargs="*", default=resources.names("recipes"))
    arguments = parser.parse_args()
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    for name in arguments.recipes:
        recipe = load_recipe(name)
        if recipe.shrinks or missing_packages(REGISTRY[recipe.backend].packages):
            continue
        for model in ("digits", "sst2"):
            checkpoint = resolve_checkpoint(model)
            source = "digits:test" if model == "digits" else str(checkpoint.examples_file)
            if model == "sst2" and arguments.data_root:
                source = str(found(arguments.data_root, "SST-2/dev.tsv"))
            rows = load_rows(source, checkpoint, arguments.limit)
            with tempfile.TemporaryDirectory() as scratch:
                made = export(checkpoint, recipe, Path(scratch, "out"), rows=rows, keep=True)
                print(line(model, recipe, made), flush=True)


if __name__ == "__main__":
    main()
