"""Start the runner on a model file, and read its report."""

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nf_edge.backends.runnable import Runnable
from nf_edge.core import processes
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import BadInput, CannotRun, MissingTool, NfEdgeError
from nf_edge.core.system_errors import ADD_MEMORY, NO_MEMORY
from nf_edge.measure.runner.build import Runtime, executable
from nf_edge.measure.runner.result import RunResult, parse

BAD_INPUT = 3
STDERR_LINES = 10
# The prefix of the native runner's messages.
PREFIX = re.compile(r"^nf-run-\w+: ")

CRASHED = (
    "the runtime crashed on this file",
    "export it again with the runtime that is installed here; if it still crashes, please report it",
)
# The likely cause for each signal, and the fix.
MEANINGS: dict[int, tuple[str, str]] = {
    signal.SIGKILL: ("memory may have run out", ADD_MEMORY),
    signal.SIGILL: (
        "its code has an instruction that this CPU does not have",
        "use a machine with a newer CPU; for an nf- recipe, set NF_EDGE_ISA to an instruction set that "
        "nf-edge kernels build lists",
    ),
    signal.SIGSEGV: CRASHED,
    signal.SIGBUS: (
        "the model file or its memory disappeared during the run",
        "check whether the disk is full, and run it again",
    ),
    signal.SIGABRT: CRASHED,
    signal.SIGFPE: CRASHED,
    signal.SIGXCPU: ("its limit on CPU time was reached", "raise the limit (ulimit -t)"),
}

# Token ids and attention mask, T integers each.  For a model with a cache: token ids, and the position of the
# first one.  The position is [0] for a prompt, and the number of earlier tokens for a step.
Request = tuple[Sequence[int], Sequence[int]]


def run_command(
    command: Sequence[str], model: str | Path, requests: Sequence[Request], timeout_s: float = 600.0
) -> RunResult:
    """Run a model file in a new native process.

    Args:
        command: the runner's command, from `command_for` or `native_command`.
        model: the file, for messages.
        requests: without requests the model is only loaded.
        timeout_s: seconds until the process is stopped.

    Raises:
        BadInput: the model cannot be loaded, or rejects a request.
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
    """The command that runs a model file in the native runner.

    Args:
        runtime: `executorch` for a `.pte`, `onnxruntime` for an `.onnx`.
        model: the file.  Its output is float32 logits of any rank.  Without a cache, its inputs are
            `input_ids` and `attention_mask`, int64 [1, T]; with a cache, see `artifact.manifest.Interface`.
        threads: size of the thread pool; None is the number of CPUs that this process may use.
        operators: a library of operators or a delegate that a `.pte` calls in addition to ExecuTorch's.
        launcher: a prefix for the command.

    Raises:
        MissingTool: the runner is not built, and cannot be built here.
    """
    return [*launcher, str(executable(runtime)), *runner_options(model, threads, operators)]


def command_for(runnable: Runnable, threads: int | None = None) -> list[str]:
    """The command that runs a model file in the native runner, with its backend's operators and launcher.

    Args:
        threads: size of the thread pool; None is the number of CPUs that this process may use.

    Raises:
        MissingTool: the runner or the operators cannot be built here.
    """
    backend = runnable.backend
    operators, launcher = backend.operators_file(), backend.launcher(threads)
    return native_command(backend.runtime, runnable.file, threads, operators, launcher)


def runner_options(model: str | Path, threads: int | None = None, operators: Path | None = None) -> list[str]:
    """The runner's command-line arguments: the model's path and the options.

    Args:
        threads: size of the thread pool; None is the number of CPUs that this process may use.
        operators: a library of operators or a delegate that the model calls.
    """
    options = [str(Path(model).resolve()), "--threads", str(threads or allowed_cpus())]
    return options if operators is None else [*options, "--operators", str(operators)]


def request_lines(requests: Sequence[Request]) -> str:
    """The text for the runner's stdin: two lines of numbers for each request."""
    return "".join(f"{' '.join(map(str, numbers))}\n" for request in requests for numbers in request)


def overdue(model: str | Path, timeout_s: float) -> CannotRun:
    """The error for a runner that did not finish a model within `timeout_s` seconds."""
    what = f"the runner did not finish within {timeout_s:g} s on this machine"
    return CannotRun(what, where=model, fix="use a smaller model or a faster machine")


def failure(model: str | Path, returncode: int, stderr: str) -> NfEdgeError:
    """The error for a runner that failed or was ended by a signal, from its return code and its stderr."""
    message = PREFIX.sub("", "\n".join(stderr.strip().splitlines()[-STDERR_LINES:]))
    if returncode == BAD_INPUT:
        fix = "check that the file can be read; if so, export it again with the installed runtime"
        return BadInput(message.removesuffix(f", {Path(model).resolve()}"), where=model, fix=fix)
    if returncode < 0:
        return _ended(model, -returncode, message)
    if returncode == MissingTool.exit_code:
        return MissingTool(message, where=model)
    if NO_MEMORY.search(message):
        return CannotRun(f"memory ran out in the runner\n{message}", where=model, fix=ADD_MEMORY)
    what = f"the runner failed with exit code {returncode}\n{message}"
    return NfEdgeError(what, where=model, fix="run it again; if it fails again, please report it")


def _ended(model: str | Path, number: int, message: str) -> CannotRun:
    """The error for a runner that signal `number` ended; `message` is the end of its stderr."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    meaning, fix = MEANINGS.get(number, ("", "run it again"))
    what = f"the runner was ended by {name}" + (f" ({meaning})" if meaning else "")
    return CannotRun(f"{what}\n{message}".rstrip(), where=model, fix=fix)
