"""Kills commands at random moments, and checks their outputs and the files that they leave.

    python benchmarks/kills.py [--kills 10] [--seed 0] [--only export,…]

Each command is killed (-9) at random moments of its run, with the output of an earlier run in place.  After a
kill the output must be complete: either the earlier one or the new one.  The next run resumes if the command
can.  It must give the same bytes as an undisturbed run and leave no other files.  The last case runs two
exports into one folder.  Prints one line per case; the exit code is 1 if a case fails.  Works on Linux.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from nf_edge import cli
from nf_edge.artifact import load_artifact
from nf_edge.core.recipe.recipe import load_recipe
from nf_edge.model import load_checkpoint
from nf_edge.pipeline.lowering import Job, lower

NF = [sys.executable, "-m", "nf_edge"]
ROWS = [
    {"input_ids": [1] * ones + [2] * (7 - ones), "label": int(ones > 3)}
    for ones in range(8)
    for _ in range(4)
]
MODEL = {
    "architectures": ["NoiseFormerForSequenceClassification"],
    "vocab_size": 8,
    "n_positions": 8,
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 2,
    "causal": False,
    "noise": {"kind": "lowrank", "rank": 2},
    "num_labels": 2,
    "pooling": "mean",
}
# Model files and weights have the same bytes in every run; reports contain times.
COMPARED = ("model.onnx", "model.safetensors", "mine.yaml")


@dataclass(frozen=True)
class Verb:
    """A command to kill.

    Attributes:
        first: the command that makes the earlier output, with other bytes.
        then: the command that is killed.
        outputs: paths of its outputs, relative to the folder.
        state: path of the state that a killed run can resume from; "" if it cannot resume.
    """

    name: str
    first: str
    then: str
    outputs: Sequence[str]
    state: str = ""


# Two artifacts, checked on few rows or all.
SWEEP = "sweep ck --recipe onnx-fp32 --recipe onnx-int8-dynamic --repeats 5 -o out --data"
SENSITIVITY = "sensitivity ck --recipe xnnpack-8da4w --file-size 1GB -o mine.yaml --data"
OTHER = "init --embd 32 --heads 2 --layers 1 -o out"
VERBS = (
    Verb(
        "export",
        "export ck --recipe onnx-int8-dynamic -o out",
        "export ck --recipe onnx-fp32 -o out --overwrite",
        ("out",),
    ),
    Verb(
        "compress",
        OTHER,
        "compress ck --recipe small.yaml --train rows.jsonl --valid rows.jsonl -o out --overwrite",
        ("out",),
        "out.recovery",
    ),
    Verb(
        "sweep",
        f"{SWEEP} few.jsonl",
        f"{SWEEP} rows.jsonl --overwrite",
        ("out/onnx-fp32", "out/onnx-int8-dynamic"),
    ),
    Verb("sensitivity", f"{SENSITIVITY} few.jsonl", f"{SENSITIVITY} rows.jsonl --overwrite", ("mine.yaml",)),
    Verb("train", OTHER, "train tiny.yaml -o out --overwrite", ("out",), "out.lowrank.training"),
)


class Fault(Exception):
    """A case that failed, with the reason."""


def inputs(folder: Path) -> None:
    """Write the files that the commands read."""
    for name, rows in (("rows.jsonl", ROWS), ("few.jsonl", ROWS[:10])):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = dict.fromkeys(("train", "valid", "test"), "rows.jsonl")
    recipe = {
        "name": "tiny",
        "description": "Counts tokens.",
        "data": {key: {"file": value} for key, value in files.items()} | {"attribution": "Ours."},
        "model": MODEL,
        "training": {
            "steps": 300,
            "batch_size": 8,
            "validate_every": 20,
            "optimizer": {"learning_rate": 0.02, "weight_decay": 0.1},
            "schedule": {"warmup_steps": 5},
        },
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    small = {
        "name": "small",
        "description": "Half of it.",
        "runtime": "onnxruntime",
        "backend": "onnx_cpu",
        "prune": {"heads": 0.5, "inner": 0.5},
        "recover": {"steps": 200, "validate_every": 20},
    }
    (folder / "small.yaml").write_text(yaml.safe_dump(small))
    call(["train", "tiny.yaml", "-o", "ck"], folder)
    (folder / "ck" / "examples.jsonl").write_text((folder / "rows.jsonl").read_text())


def warm_up(checkpoint: Path, file: Path) -> None:
    """Load the libraries here, so that forked commands start at once and a kill hits their work."""
    torch.set_num_threads(1)  # a forked process has no other threads
    lower(Job.of(load_checkpoint(checkpoint), load_recipe("onnx-fp32"), None), file)
    for name in (
        "nf_edge.pipeline.mixed_precision.search",
        "nf_edge.pipeline.sweep",
        "nf_edge.training",
        "nf_edge.render.html",
        "matplotlib.figure",
    ):
        importlib.import_module(name)


def start(arguments: Sequence[str], folder: Path) -> int:
    """Start a command in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    os.chdir(folder)
    with (folder.parent / "log").open("w") as log:
        for number in (1, 2):
            os.dup2(log.fileno(), number)
    sys.argv = ["nf-edge", *arguments]
    code = 1
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """The exit code of a process, once it has ended."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def call(arguments: Sequence[str], folder: Path, codes: Sequence[int] = (0,)) -> int:
    """Run a command to its end; its exit code.

    Raises:
        Fault: the exit code is not in `codes`, or there is a traceback.
    """
    code = wait(start(arguments, folder))
    log = (folder.parent / "log").read_text(errors="replace")
    if code not in codes or "Traceback" in log:
        raise Fault(f"exit {code} of {' '.join(arguments)}: {log[-800:]}")
    return code


def digest(folder: Path, outputs: Sequence[str]) -> dict[str, str]:
    """SHA-256 of the output files that must be the same in every run, by path."""
    hashes = {}
    for name in outputs:
        files = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        for file in files:
            if file.name in COMPARED:
                hashes[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return hashes


def require_complete(folder: Path, outputs: Sequence[str], known: Sequence[dict[str, str]]) -> None:
    """Raises Fault unless every output can be loaded and has the hashes of one of the known runs."""
    for name in outputs:
        path = folder / name
        if (path / "manifest.json").is_file():
            load_artifact(path)
        elif (path / "config.json").is_file():
            load_checkpoint(path)
        elif path.suffix == ".yaml":
            load_recipe(str(path))
        else:
            raise Fault(f"{name} is missing or incomplete: {os.listdir(path) if path.is_dir() else ''}")
    for name, sha256 in digest(folder, outputs).items():
        if sha256 not in [each.get(name) for each in known]:
            raise Fault(f"{name} is neither the earlier output nor the new one")


def kill_verb(verb: Verb, folder: Path, kills: int, chance: random.Random) -> str:
    """Kill a command several times; a summary.

    Raises:
        Fault: an output is missing, incomplete or different, or another file is left.
    """
    call(verb.first.split(), folder)
    before = digest(folder, verb.outputs)
    shutil.copytree(folder, kept := folder.with_name("kept"), symlinks=True)
    start_time = time.monotonic()
    call(verb.then.split(), folder)
    duration = time.monotonic() - start_time
    after, names = digest(folder, verb.outputs), sorted(os.listdir(folder))
    left, resumed, late = 0, 0, 0
    for _ in range(kills):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder, symlinks=True)
        child = start(verb.then.split(), folder)
        time.sleep(chance.uniform(0, duration))
        os.kill(child, signal.SIGKILL)
        late += wait(child) == 0
        require_complete(folder, verb.outputs, (before, after))
        left += any("nf-edge-" in name for name in os.listdir(folder))
        again = verb.then.split()
        if verb.state and (folder / verb.state).exists():
            resumed += 1
            again.append("--resume")
        call(again, folder)
        require_complete(folder, verb.outputs, (after,))
        if digest(folder, verb.outputs) != after or sorted(os.listdir(folder)) != names:
            raise Fault(f"after the next run: {sorted(os.listdir(folder))}, not {names}, or other bytes")
    shutil.rmtree(kept)
    summary = [f"{kills} kills within {duration:.1f} s"]
    summary += [f"{left} left a temporary folder, which the next run removed"]
    summary += [f"{resumed} were resumed"] if verb.state else []
    return ", ".join([*summary, f"{late} came after the end"] if late else summary)


def two_at_once(folder: Path) -> str:
    """Two exports into one folder at once: one output is complete; the other export fails or follows."""
    refused = 0
    for overwrite in ([], ["--overwrite"]):
        shutil.rmtree(folder / "both", ignore_errors=True)
        if overwrite:
            call(["export", "ck", "--recipe", "onnx-int8-dynamic", "-o", "both"], folder)
        export = ["export", "ck", "--recipe", "onnx-fp32", "-o", "both", *overwrite]
        children = [start(export, folder) for _ in range(2)]
        codes = sorted(wait(child) for child in children)
        if codes not in ([0, 3], [0, 0] if overwrite else [0, 3]):
            raise Fault(f"exit codes {codes}")
        refused += codes[1] == 3
        load_artifact(folder / "both")
        if any("nf-edge-" in name for name in os.listdir(folder)):
            raise Fault("a temporary folder is left")
    shutil.rmtree(folder / "both")
    return f"2 races; in {refused} of them one export was refused"


def run_cases(cases: dict[str, Callable[[Path], str]], only: str | None) -> None:
    """Run cases by name, each in a folder with the input files, and exit.

    Args:
        only: names of the cases to run, separated by commas; None for all.
    """
    names = only.split(",") if only else list(cases)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        base = Path(scratch, "inputs")
        base.mkdir()
        inputs(base)
        warm_up(base / "ck", Path(scratch, "model.onnx"))
        for name in names:
            folder = Path(scratch, "work")
            shutil.copytree(base, folder)
            try:
                print(f"ok    {name}: {cases[name](folder)}", flush=True)
            except Fault as fault:
                faults += 1
                print(f"FAULT {name}: {fault}", flush=True)
            for each in (folder, folder.with_name("kept")):
                shutil.rmtree(each, ignore_errors=True)
    sys.exit(faults > 0)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="kills of each command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="names of cases, separated by commas")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    cases: dict[str, Callable[[Path], str]] = {
        verb.name: lambda folder, verb=verb: kill_verb(verb, folder, options.kills, chance) for verb in VERBS
    }
    run_cases(cases | {"two at once": two_at_once}, options.only)


if __name__ == "__main__":
    main()
