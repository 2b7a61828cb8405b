"""Many damaged inputs, and the faults that they end in.

python tests/robustness/fuzzing --inputs 10000 --seed 1 [--only NAME] [--seeds FOLDER] [--keep FOLDER]
"""

import argparse
import collections
import faulthandler
import json
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.extend(str(folder) for folder in Path(__file__).resolve().parents[1:3])

import torch

from fuzzing import seeds
from fuzzing.harness import WALL_SECONDS, Input, fault_of, prepare, shrunk
from fuzzing.targets import Target, targets

ARTIFACTS = ("onnx-fp32", "xnnpack-fp32")


def main() -> int:
    parser = argparse.ArgumentParser(description="Many damaged inputs, and the faults that they end in.")
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="targets that have this in their name")
    parser.add_argument("--seeds", type=Path, help="make the seeds here, or take those that are here")
    parser.add_argument("--keep", type=Path, help="put the inputs that end in a fault here")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    counts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    with tempfile.TemporaryDirectory(prefix="nf-edge-fuzzing-") as folder:
        base, scratch = given.seeds or Path(folder) / "seeds", Path(folder) / "input"
        if not base.exists():
            seeds.make(base)
            _make_artifacts(base)
        chosen = [target for target in targets(base, ARTIFACTS) if given.only in target.name]
        for target in chosen:
            accepted, fault = fault_of(target, Input(0), base, scratch)
            assert accepted, f"{target.name}: the seed itself is refused: {fault}"
            assert not fault, f"{target.name}: the seed itself: {fault}"
        faults = 0
        for spoiled, outcome, fault in _judged(given.seed, given.inputs, chosen, base, scratch):
            target = chosen[spoiled.target]
            counts[target.name][outcome] += 1
            if fault:
                faults += 1
                print(f"{target.name}: {fault}\n  {spoiled}", flush=True)
                if given.keep and spoiled.place is None:
                    kept = given.keep / f"{faults}-{target.seed}"
                    shutil.copytree(
                        prepare(target, spoiled, base, Path(folder) / "kept"), kept, symlinks=True
                    )
    for name, count in counts.items():
        print(f"{name:32} {dict(count)}")
    total = sum(counts.values(), collections.Counter())
    print(f"{total.total()} inputs in {time.monotonic() - began:.0f} s: {dict(total)}")
    return 1 if faults else 0


def _judged(seed: int, inputs: int, chosen: list[Target], base: Path, scratch: Path):
    """Each input with its outcome (refused, accepted, fault) and the fault; they run in children, since a
    library may end the process."""
    done = 0
    while done < inputs:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            with os.fdopen(writing, "w") as answers:
                for i in range(done, inputs):
                    spoiled = Input.random(random.Random(f"{seed} {i}"), len(chosen))
                    target = chosen[spoiled.target]
                    # What Python cannot end shows where it is, at least.
                    faulthandler.dump_traceback_later(2 * WALL_SECONDS, exit=True)
                    accepted, fault = fault_of(target, spoiled, base, scratch)
                    if fault:
                        spoiled = shrunk(target, spoiled, base, scratch)
                    outcome = "fault" if fault else "accepted" if accepted else "refused"
                    answers.write(
                        json.dumps([spoiled.target, spoiled.steps, spoiled.place, outcome, fault]) + "\n"
                    )
                    answers.flush()
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading) as answers:
            for line in answers:
                done += 1
                target_index, steps, place, outcome, fault = json.loads(line)
                yield Input(target_index, tuple(steps), place), outcome, fault
        _, status = os.waitpid(child, 0)
        if status:
            spoiled = Input.random(random.Random(f"{seed} {done}"), len(chosen))
            done += 1
            yield spoiled, "fault", f"it ends the process: status {status}"


def _make_artifacts(base: Path) -> None:
    """One of ONNX Runtime and one of ExecuTorch, of a small language model."""
    from nf_edge.core.recipe.recipe import load_recipe
    from nf_edge.model import load_checkpoint
    from nf_edge.pipeline.export import export

    for name in ARTIFACTS:
        export(load_checkpoint(base / "lm"), load_recipe(name), base / name, keep=True)


if __name__ == "__main__":
    sys.exit(main())
