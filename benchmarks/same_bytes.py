"""Checks that every recipe's export gives the same bytes in another environment; prints a table in Markdown.

    python benchmarks/same_bytes.py [--model digits] [--recipes …] [--folder FOLDER] > same_bytes.md

Each recipe is exported in two processes.  They differ in hash seed, CPUs and threads, working folder, name of
OUT, folder for temporary files, home, user, time zone, locale, and in the order of the recipes.  All files
but `report.html` are compared byte for byte.  In `manifest.json` the entry of `report.html` and `reports` are
left out, because they hold measurements.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nf_edge.artifact import MANIFEST, REPORT
from nf_edge.backends import REGISTRY, missing_packages
from nf_edge.core import resources
from nf_edge.core.errors import NfEdgeError
from nf_edge.core.native_build import cache_folder
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import resolve_checkpoint
from nf_edge.model.data.rows import load_rows
from nf_edge.pipeline.export import export

PLACES = ("HOME", "TMPDIR", "WORK")
ENVIRONMENTS = (
    {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "TZ": "UTC", "LC_ALL": "C", "USER": "ada"},
    {
        "PYTHONHASHSEED": "4711",
        "OMP_NUM_THREADS": "2",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C.UTF-8",
        "USER": "alan",
    },
)
# Rows of the accuracy check: answers are not compared, so few are enough.
ROWS = 2


@dataclass(frozen=True)
class Difference:
    """A file that differs between two artifacts.

    Attributes:
        count: bytes that differ; extra bytes of the longer file count too.
        size: of the longer file.
    """

    name: str
    count: int
    size: int

    def __str__(self) -> str:
        return f"{self.name}: {self.count:,} of {self.size:,} bytes differ"


def make_in(environment: dict[str, str], model: str, recipes: list[str], folder: Path) -> dict[str, Path]:
    """Export a model with recipes in a process with another environment; artifact folders by recipe."""
    user = environment["USER"]
    places = {name: folder / f"{name.lower()}-of-{user}" for name in PLACES}
    for place in places.values():
        place.mkdir(parents=True, exist_ok=True)
    cpus = sorted(os.sched_getaffinity(0))[: int(environment["OMP_NUM_THREADS"])]
    arguments = ["--make", f"by-{user}", "--model", model, "--recipes", *recipes]
    subprocess.run(
        # Some runtimes use a thread per CPU, whatever the environment says.
        ["taskset", "-c", ",".join(map(str, cpus)), sys.executable, __file__, *arguments],
        cwd=places.pop("WORK"),
        # Both processes share the native builds.
        env={
            **os.environ,
            **environment,
            **{name: str(place) for name, place in places.items()},
            "XDG_CACHE_HOME": str(cache_folder("kernels").parent.parent),
        },
        stdout=sys.stderr,
        check=True,
    )
    return {recipe: folder / f"work-of-{user}" / f"by-{user}-{recipe}" for recipe in recipes}


def make(model: str, recipes: list[str], name: str) -> None:
    """Export a model with each recipe into the working folder."""
    checkpoint = resolve_checkpoint(model)
    rows = load_rows(str(checkpoint.examples_file), checkpoint, ROWS)
    for recipe in recipes:
        start = time.perf_counter()
        out = Path(f"{name}-{recipe}")
        try:
            export(checkpoint, load_recipe(recipe), out, rows=rows, overwrite=True, keep=True)
            print(f"{out}: {time.perf_counter() - start:.0f} s", flush=True)
        except NfEdgeError as error:
            print(f"{out}: {error}", flush=True)


def differences(one: Path, other: Path) -> list[Difference]:
    """The files that differ between two artifacts."""
    names = sorted({path.name for folder in (one, other) for path in folder.iterdir()} - {REPORT})
    different = []
    for name in names:
        first, second = (_compared(folder / name) for folder in (one, other))
        if first != second:
            count = sum(a != b for a, b in zip(first, second, strict=False)) + abs(len(first) - len(second))
            different.append(Difference(name, count, max(len(first), len(second))))
    return different


def _compared(path: Path) -> bytes:
    """The bytes of a file that must be the same; empty if there is no file."""
    if not path.is_file():
        return b""
    if path.name != MANIFEST:
        return path.read_bytes()
    document = json.loads(path.read_text(encoding="utf-8"))
    files = [file for file in document["files"] if file["name"] != REPORT]
    return json.dumps(document | {"files": files, "reports": None}, indent=2).encode()


def recipes_here() -> list[str]:
    """Bundled recipes that do not prune and whose backends are installed."""
    recipes = {name: load_recipe(name) for name in resources.names("recipes")}
    return [
        name
        for name, recipe in recipes.items()
        if not recipe.shrinks and not missing_packages(REGISTRY[recipe.backend].packages)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="digits")
    parser.add_argument("--recipes", nargs="+", default=recipes_here())
    parser.add_argument("--folder", type=Path, help="keep the artifacts here (default: a temporary folder)")
    parser.add_argument("--make", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    model, recipes = arguments.model, arguments.recipes
    if arguments.make:
        make(model, recipes, arguments.make)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.folder or Path(temporary)).resolve()
        one = make_in(ENVIRONMENTS[0], model, recipes, folder)
        other = make_in(ENVIRONMENTS[1], model, recipes[::-1], folder)
        print("| recipe | files | bytes |\n|---|---:|---|")
        equal = 0
        for recipe in recipes:
            if not (one[recipe].is_dir() and other[recipe].is_dir()):
                print(f"| {recipe} | 0 | failed |")
                continue
            different = differences(one[recipe], other[recipe])
            equal += not different
            files = len(list(one[recipe].iterdir()))
            print(f"| {recipe} | {files} | {'; '.join(map(str, different)) or 'the same'} |")
    print(f"\n{equal} of {len(recipes)} recipes give the same bytes.")


if __name__ == "__main__":
    main()
