"""Runs models with CPU recipes here and on emulated Arm cores; prints their memory as a table in Markdown.

    nf-edge doctor --fix emulation
    python benchmarks/arm_memory.py [--models digits,sst2] [--recipes onnx-int4] [--on cortex-a53] > memory.md

All runs use one thread and the C library's counters, so only the instruction set differs.  A line in bold
differs from x86-64 by more than 5 % and 64 kB.  Static recipes are calibrated on `--calibrate`, or on the
model's examples.  With `--folder` the model files stay there, and a later call uses them again.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from nf_edge.backends.runnable import Runnable
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore, emulated_cores
from nf_edge.measure.memory.emulated import HeapCounters, measure_emulated
from nf_edge.measure.memory.measure import largest_requests
from nf_edge.model import resolve_checkpoint
from nf_edge.model.data.rows import load_rows
from nf_edge.pipeline.lowering import Job, lower

MODELS = "digits,sst2,shakespeare"
RECIPES = (
    "xnnpack-fp32,xnnpack-8da8w,xnnpack-8da4w,xnnpack-int8,onnx-fp32,onnx-int8-dynamic,onnx-int8-qdq,onnx-int4,"
    "nf-fp32,nf-int8"
)
CORES = "cortex-a53,cortex-a76,max:sme=off:sve=off"
PARTS = ("mapped", "loaded", "arenas", "workspace")
# A difference that is worth an explanation, as a share and in bytes.
SHARE, BYTES = 0.05, 64_000


def lowered(model: str, recipe: str, folder: Path, calibrate: str | None) -> Runnable:
    """The model file in `folder`, which is made unless it is there."""
    checkpoint = resolve_checkpoint(model)
    rows = load_rows(calibrate, checkpoint) if calibrate else None
    job = Job.of(checkpoint, load_recipe(recipe), rows)
    made = folder / f"{Path(model).name}-{recipe}"
    runnable = job.runnable(made / job.backend.model_file)
    if not runnable.file.exists():
        made.mkdir(parents=True)
        lower(job, runnable.file)
    return runnable


def counters(runnable: Runnable, cores: list[EmulatedCore]) -> Iterator[tuple[str, HeapCounters]]:
    """The names of machines, and the memory of a file there: predicted, measured here, and emulated."""
    backend, config, input_shape = runnable.backend, runnable.config, runnable.input_shape
    plan = backend.predict(config, input_shape, runnable.recipe)
    cache = plan.cache or 0
    known = (getattr(plan, part) or 0 for part in PARTS)
    mapped, loaded, arenas, workspace = known
    yield "predicted", HeapCounters(mapped, loaded, cache, arenas, workspace)
    command = runner.command_for(runnable, threads=1)
    here = HeapCounters.of(
        runner.run_command(command, runnable.file, largest_requests(runnable), timeout_s=3600), cache
    )
    if here is None:
        raise SystemExit("this benchmark needs the GNU C library")
    yield "x86-64", here
    for core in cores:
        there = measure_emulated(runnable, cache, core)
        assert there is not None  # the emulated C library is GNU's
        yield core.name, there


def differs(here: int, there: int) -> bool:
    return abs(there - here) > max(SHARE * here, BYTES)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--recipes", default=RECIPES)
    parser.add_argument("--on", default=CORES)
    parser.add_argument("--calibrate")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    cores = emulated_cores(arguments.on.split(","))
    print(f"| model | recipe | machine | {' | '.join(PARTS)} |\n|{'---|' * 3}{'---:|' * len(PARTS)}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        for model in arguments.models.split(","):
            for recipe in arguments.recipes.split(","):
                runnable = lowered(model, recipe, folder, arguments.calibrate)
                here: dict[str, int] = {}
                for machine, each in counters(runnable, cores):
                    parts = asdict(each)
                    here = parts if machine in ("predicted", "x86-64") else here
                    cells = (
                        f"**{parts[name]:,}**" if differs(here[name], parts[name]) else f"{parts[name]:,}"
                        for name in PARTS
                    )
                    print(f"| {Path(model).name} | {recipe} | {machine} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
