"""Kills at random moments, full disks, and two at once: what is lost, and what is left.

    python benchmarks/kills.py [--kills 10] [--seed 0] [--only export,…]

Each verb is killed (-9) so many times at random moments of its run, over what an earlier run has made.  What
was made before must then be whole, or what is made now; and the next run, which goes on with the killed one
where it can, must make the bytes of a run that nothing disturbed, and leave nothing else.  Then the disks and
the races.  Prints a line a case; exit code 1 unless all hold.  Works on Linux.
"""

import argparse
import hashlib
import importlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
# Bytes of a model file or of weights are the same in every run; reports have times.
COMPARED = ("model.onnx", "model.safetensors", "mine.yaml")


@dataclass(frozen=True)
class Verb:
    """A command that is killed.

    Attributes:
        first: what makes what is there before, of another kind.
        then: what is killed.
        made: what is made, relative to the folder.
        state: what is left of a run that can be gone on with; "" where none can.
    """

    name: str
    first: str
    then: str
    made: Sequence[str]
    state: str = ""


# An artifact of both recipes, asked few rows or all.
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
    """What must not be."""


def inputs(folder: Path) -> None:
    """The files that the verbs read."""
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
    called(["train", "tiny.yaml", "-o", "ck"], folder)
    (folder / "ck" / "examples.jsonl").write_text((folder / "rows.jsonl").read_text())


def warm_up(checkpoint: Path, file: Path) -> None:
    """Load here what the commands need, so that a kill hits their work."""
    torch.set_num_threads(1)  # processes that are forked have no other threads
    lower(Job.of(load_checkpoint(checkpoint), load_recipe("onnx-fp32"), None), file)
    for name in (
        "nf_edge.pipeline.mixed_precision.search",
        "nf_edge.pipeline.sweep",
        "nf_edge.training",
        "nf_edge.render.html",
        "matplotlib.figure",
    ):
        importlib.import_module(name)


def begun(arguments: Sequence[str], folder: Path) -> int:
    """Begin a command in a process that has the libraries loaded already; its id."""
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


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def called(arguments: Sequence[str], folder: Path, codes: Sequence[int] = (0,)) -> int:
    """Run a command to its end.

    Raises:
        Fault: it ends with another exit code.
    """
    code = ended(begun(arguments, folder))
    log = (folder.parent / "log").read_text(errors="replace")
    if code not in codes or "Traceback" in log:
        raise Fault(f"exit {code} of {' '.join(arguments)}: {log[-800:]}")
    return code


def digest(folder: Path, made: Sequence[str]) -> dict[str, str]:
    """Hashes of what must be the same in every run."""
    found = {}
    for name in made:
        files = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        for file in files:
            if file.name in COMPARED:
                found[str(file.relative_to(folder))] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def require_whole(folder: Path, made: Sequence[str], known: Sequence[dict[str, str]]) -> None:
    """Everything that was made can be read, and is of the run before or of this one."""
    for name in made:
        path = folder / name
        if (path / "manifest.json").is_file():
            load_artifact(path)
        elif (path / "config.json").is_file():
            load_checkpoint(path)
        elif path.suffix == ".yaml":
            load_recipe(str(path))
        else:
            raise Fault(f"{name} is gone or is not whole: {os.listdir(path) if path.is_dir() else ''}")
    for name, found in digest(folder, made).items():
        if found not in [each.get(name) for each in known]:
            raise Fault(f"{name} is neither what it was nor what it is to be")


def kill_verb(verb: Verb, folder: Path, kills: int, chance: random.Random) -> str:
    """Kill a verb so many times.

    Raises:
        Fault: something was lost, left or is other than it must be.
    """
    called(verb.first.split(), folder)
    before = digest(folder, verb.made)
    shutil.copytree(folder, kept := folder.with_name("kept"), symlinks=True)
    began = time.monotonic()
    called(verb.then.split(), folder)
    took = time.monotonic() - began
    after, names = digest(folder, verb.made), sorted(os.listdir(folder))
    left, resumed, late = 0, 0, 0
    for _ in range(kills):
        shutil.rmtree(folder)
        shutil.copytree(kept, folder, symlinks=True)
        child = begun(verb.then.split(), folder)
        time.sleep(chance.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        late += ended(child) == 0
        require_whole(folder, verb.made, (before, after))
        left += any("nf-edge-" in name for name in os.listdir(folder))
        again = verb.then.split()
        if verb.state and (folder / verb.state).exists():
            resumed += 1
            again.append("--resume")
        called(again, folder)
        require_whole(folder, verb.made, (after,))
        if digest(folder, verb.made) != after or sorted(os.listdir(folder)) != names:
            raise Fault(f"after the next run: {sorted(os.listdir(folder))}, not {names}, or other bytes")
    shutil.rmtree(kept)
    said = [f"{kills} kills within {took:.1f} s", f"{left} left a folder, all were swept by the next run"]
    said += [f"{resumed} were gone on with"] if verb.state else []
    return ", ".join([*said, f"{late} came after its end"] if late else said)


def own_mounts() -> list[str]:
    """What gives a script mounts of its own; empty where that is not allowed."""
    unshare = ["unshare", "-m" if os.getuid() == 0 else "-rm"]
    if not shutil.which("unshare"):
        return []
    tried = subprocess.run([*unshare, "mount", "-t", "tmpfs", "x", "/mnt"], capture_output=True)
    return [] if tried.returncode else unshare


def in_mounts(script: str, folder: Path, codes: Sequence[int], words: Sequence[str] = ()) -> str:
    """Run a bash script where mounts are its own; `nf` calls the command.

    Raises:
        Fault: it ends with another exit code, or without those words.
    """
    unshare = own_mounts()
    if not unshare:
        return "skipped: mounts are not allowed here"
    call = " ".join(NF)
    done = subprocess.run(
        [*unshare, "bash", "-c", f'nf() {{ {call} "$@"; }}; {script}'],
        capture_output=True,
        cwd=folder,
        text=True,
    )
    said = done.stdout + done.stderr
    if done.returncode not in codes or "Traceback" in said or any(word not in said for word in words):
        raise Fault(f"exit {done.returncode}: {said[-800:]}")
    return f"exit {done.returncode}"


def small_disk(folder: Path) -> str:
    """On a disk of 1 MB, which the model does not fit, and with one of 1 MB for temporary files."""
    setup = "mount -t tmpfs -o size=1m x /mnt"
    empty = 'code=$?; [ -z "$(ls -A /mnt)" ] || { ls -A /mnt; exit 90; }; exit $code'
    calls = (
        "init --preset tiny --embd 256 -o /mnt/a/out",
        "export shakespeare --recipe onnx-fp32 -o /mnt/out",
        "compress shakespeare --recipe small.yaml --train text.txt -o /mnt/out",
    )
    (folder / "text.txt").write_text("What news from Rome, my lord? " * 300)
    found = [in_mounts(f"{setup}; nf {call}; {empty}", folder, (3,)) for call in calls]
    temporary = (
        "mount -t tmpfs -o size=100k x /mnt; TMPDIR=/mnt nf sensitivity shakespeare --recipe onnx-int4"
    )
    found.append(in_mounts(f"{temporary}; {empty}", folder, (3,), ("TMPDIR",)))
    return ", ".join(found)


def read_only_out(folder: Path) -> str:
    setup = "mkdir -p /mnt/x; mount -t tmpfs x /mnt; mkdir /mnt/old; mount -o remount,ro /mnt; "
    return ", ".join(
        in_mounts(f"{setup} nf {verb} -o /mnt/out", folder, (3,), ("/mnt",))
        for verb in (
            "export ck --recipe onnx-fp32",
            "compress ck --recipe small.yaml --train rows.jsonl",
            "sweep ck --data rows.jsonl",
            "train tiny.yaml",
            "init",
        )
    )


def two_at_once(folder: Path) -> str:
    """Two exports into one folder: one wins whole, and the other is refused or comes after it."""
    refused = 0
    for overwrite in ([], ["--overwrite"]):
        shutil.rmtree(folder / "both", ignore_errors=True)
        if overwrite:
            called(["export", "ck", "--recipe", "onnx-int8-dynamic", "-o", "both"], folder)
        call = ["export", "ck", "--recipe", "onnx-fp32", "-o", "both", *overwrite]
        children = [begun(call, folder) for _ in range(2)]
        codes = sorted(ended(child) for child in children)
        if codes not in ([0, 3], [0, 0] if overwrite else [0, 3]):
            raise Fault(f"exit codes {codes}")
        refused += codes[1] == 3
        load_artifact(folder / "both")
        if any("nf-edge-" in name for name in os.listdir(folder)):
            raise Fault("something is left")
    shutil.rmtree(folder / "both")
    return f"2 races, one refused in {refused} of them"


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def kernel_cache(folder: Path) -> str:
    """The kernels built by two at once, after a killed build, and beside those of another version."""
    with environment(XDG_CACHE_HOME=str(folder / "cache")):
        killed = begun(["kernels", "build"], folder)
        time.sleep(4)
        os.kill(killed, signal.SIGKILL)
        ended(killed)
        children = [begun(["kernels", "build"], folder) for _ in range(2)]
        codes = [ended(child) for child in children]
        left = list((folder / "cache").rglob("*.partial"))
        if codes != [0, 0] or left:
            raise Fault(f"exit codes {codes}, left: {left}")
        kernels = folder / "cache" / "nf-edge" / "kernels"
        own = next(each for each in kernels.iterdir() if each.is_dir())
        shutil.copytree(own, kernels / "0123456789abcdef")
        began = time.monotonic()
        called(["kernels", "build"], folder)
        again = time.monotonic() - began
        terminated = folder / "terminated"
        with environment(XDG_CACHE_HOME=str(terminated)):
            child = begun(["kernels", "build"], folder)
            time.sleep(6)
            os.kill(child, signal.SIGTERM)
            code = ended(child)
        time.sleep(0.5)
        compilers = subprocess.run(["pgrep", "-f", str(terminated)], capture_output=True, text=True).stdout
        if code != 143 or compilers or list(terminated.rglob("*.partial")):
            raise Fault(
                f"SIGTERM: exit {code}, compilers: {compilers}, left: {list(terminated.rglob('*.partial'))}"
            )
    return f"two at once: built; again in {again:.1f} s; terminated: its compilers are gone"


def odd_caches(folder: Path) -> str:
    """On a noexec or read-only mount, and without HOME."""
    noexec = "mount -t tmpfs -o noexec,mode=700 x /mnt; XDG_CACHE_HOME=/mnt nf "
    read_only = "mount -t tmpfs -o ro,mode=700 x /mnt; XDG_CACHE_HOME=/mnt nf "
    nobody = "chmod 777 .; setpriv --reuid=12345 --regid=12345 --clear-groups env -u HOME -u XDG_CACHE_HOME "
    found = [
        in_mounts(f"{mount}{call}", folder, codes, words)
        for mount in (noexec, read_only)
        for call, codes, words in (
            ("kernels build", (6,), ("XDG_CACHE_HOME",)),
            ("doctor", (0,), ("XDG_CACHE_HOME",)),
            ("profile digits --recipe onnx-fp32", (0,), ()),
        )
    ]
    found.append(in_mounts(f"{nobody} {' '.join(NF)} doctor", folder, (0, 126, 127, 1)))
    return ", ".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=10, help="of each verb")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="names of cases, with commas between them")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    cases: dict[str, Callable[[Path], str]] = {
        verb.name: lambda folder, verb=verb: kill_verb(verb, folder, given.kills, chance) for verb in VERBS
    }
    cases |= {
        "small disk": small_disk,
        "read-only OUT": read_only_out,
        "two at once": two_at_once,
        "kernel cache": kernel_cache,
        "odd caches": odd_caches,
    }
    names = given.only.split(",") if given.only else list(cases)
    faults = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as place:
        base = Path(place, "inputs")
        base.mkdir()
        inputs(base)
        warm_up(base / "ck", Path(place, "model.onnx"))
        for name in names:
            folder = Path(place, "work")
            shutil.copytree(base, folder)
            try:
                print(f"ok    {name}: {cases[name](folder)}", flush=True)
            except Fault as fault:
                faults += 1
                print(f"FAULT {name}: {fault}", flush=True)
            for each in (folder, folder.with_name("kept")):
                shutil.rmtree(each, ignore_errors=True)
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
