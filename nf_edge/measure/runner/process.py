"""Starts the runner on a model and takes its report."""

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nf_edge.core import processes
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import BadInput, CannotRun, MissingTool, NfEdgeError
from nf_edge.core.system_errors import ADD_MEMORY, NO_MEMORY
from nf_edge.measure.runner.build import Runtime, executable
from nf_edge.measure.runner.result import RunResult, parse

BAD_INPUT = 3
STDERR_LINES = 10
# What the native runner begins its own messages with.
OWN_NAME = re.compile(r"^nf-run-\w+: ")

CRASHED = (
    ", so the runtime crashed on this file",
    "export it again with the runtime that is installed here; if it crashes then too, please report it",
)
# What a signal says of the reason, and what to do.
MEANINGS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: (": by the system, if nobody else; memory may have run out", ADD_MEMORY),
    signal.SIGILL: (
        ", so its code has an instruction that this CPU does not have",
        "work on a machine with a newer CPU, or set NF_EDGE_ISA where kernels of nf-edge are called",
    ),
    signal.SIGSEGV: CRASHED,
    signal.SIGBUS: (
        ", so its file or memory went away while it ran",
        "look whether the disk is full, and run it again",
    ),
    signal.SIGABRT: CRASHED,
    signal.SIGFPE: CRASHED,
    signal.SIGXCPU: (", so its CPU time is limited", "raise the limit (ulimit -t)"),
}

Request = tuple[Sequence[int], Sequence[int]]


def run(
    runtime: Runtime,
    model: str | Path,
    requests: Sequence[Request],
    threads: int | None = None,
    operators: Path | None = None,
    launcher: Sequence[str] = (),
    timeout_s: float = 600.0,
) -> RunResult:
    """Runs a model file in a fresh native process.

    Args:
        runtime: `executorch` for a `.pte`, `onnxruntime` for an `.onnx`.
        model: the file.  It takes `input_ids` and `attention_mask`, int64 [1, T], or has a cache
            (see `artifact.manifest.Interface`); it gives float32 logits of any rank.
        requests: the input ids and the attention mask of each run, T integers each; of a model with a
            cache the ids, at least one, and the position of the first: [0] of a prompt, and of each step
            the number of tokens before it.  With none, the model is only loaded.
        threads: size of the thread pool; by default as many as this process may use CPUs.
        operators: a library of operators or a delegate that a `.pte` calls beside those of ExecuTorch.
        launcher: what the command begins with.
        timeout_s: seconds until the process is ended.

    Raises:
        BadInput: the model cannot be loaded, or does not take one of the requests.
        MissingTool: the runner is not built yet, and cannot be built here.
        CannotRun: the runner crashed, ran out of memory or took too long.
    """
    command = native_command(runtime, model, threads, operators, launcher)
    return run_command(command, model, requests, timeout_s)


def run_command(
    command: Sequence[str], model: str | Path, requests: Sequence[Request], timeout_s: float = 600.0
) -> RunResult:
    """The same of a runner that is called in its own way.

    Raises:
        BadInput: the model cannot be loaded, or does not take one of the requests.
        CannotRun: the runner crashed, ran out of memory or took too long.
    """
    try:
        done = processes.run(command, input=request_lines(requests), timeout_s=timeout_s)
    except subprocess.TimeoutExpired:
        raise overdue(model, timeout_s) from None
    if done.returncode == 0:
        return parse(done.stdout.splitlines())
    raise failure(model, done.returncode, done.stderr)


def native_command(
    runtime: Runtime,
    model: str | Path,
    threads: int | None = None,
    operators: Path | None = None,
    launcher: Sequence[str] = (),
) -> list[str]:
    """How the native runner is called on a model file.

    Raises:
        MissingTool: the runner is not built yet, and cannot be built here.
    """
    return [*launcher, str(executable(runtime)), *runner_options(model, threads, operators)]


def runner_options(model: str | Path, threads: int | None = None, operators: Path | None = None) -> list[str]:
    """A runner's own arguments; as many threads as this process may use CPUs, where none are given."""
    options = [str(Path(model).resolve()), "--threads", str(threads or allowed_cpus())]
    return options if operators is None else [*options, "--operators", str(operators)]


def request_lines(requests: Sequence[Request]) -> str:
    """Requests as the runner reads them."""
    return "".join(f"{' '.join(map(str, numbers))}\n" for request in requests for numbers in request)


def overdue(model: str | Path, timeout_s: float) -> CannotRun:
    return CannotRun(f"did not finish within {timeout_s:g} s here", where=model)


def failure(model: str | Path, returncode: int, stderr: str) -> NfEdgeError:
    """What a runner that ended by itself says of the reason."""
    said = OWN_NAME.sub("", "\n".join(stderr.strip().splitlines()[-STDERR_LINES:]))
    if returncode == BAD_INPUT:
        return BadInput(said.removesuffix(f", {Path(model).resolve()}"), where=model)
    if returncode < 0:
        return _ended(model, -returncode, said)
    if returncode == MissingTool.exit_code:
        return MissingTool(said, where=model)
    if NO_MEMORY.search(said):
        return CannotRun(f"the runner has no memory left\n{said}", where=model, fix=ADD_MEMORY)
    return NfEdgeError(f"the runner failed with exit code {returncode}\n{said}", where=model)


def _ended(model: str | Path, number: int, said: str) -> CannotRun:
    """What a signal that ended a runner means."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    meaning, fix = MEANINGS.get(number, ("", "run it again"))
    return CannotRun(f"the runner was ended by {name}{meaning}\n{said}".rstrip(), where=model, fix=fix)
