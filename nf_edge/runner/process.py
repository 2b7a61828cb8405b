"""Starts the runner on a model and takes its report."""

import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from nf_edge.errors import BadInput, NfEdgeError
from nf_edge.runner.build import Runtime, executable
from nf_edge.runner.result import RunResult, parse

BAD_INPUT = 3
STDERR_LINES = 10


def run(
    runtime: Runtime,
    model: str | Path,
    requests: Sequence[tuple[Sequence[int], Sequence[int]]],
    threads: int | None = None,
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
        threads: size of the thread pool; by default as many as this process has CPUs.
        timeout_s: seconds until the process is ended.

    Raises:
        BadInput: the model cannot be loaded, or does not take one of the requests.
        MissingTool: the runner is not built yet, and cannot be built here.
        NfEdgeError: the runner crashed or took too long.
    """
    path = Path(model).resolve()
    program = executable(runtime)
    command = [str(program), str(path)]
    if threads is not None:
        command += ["--threads", str(threads)]
    lines = "".join(f"{' '.join(map(str, numbers))}\n" for request in requests for numbers in request)
    try:
        done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise NfEdgeError(f"did not finish within {timeout_s:g} s", where=model) from None
    if done.returncode == 0:
        return parse(done.stdout.splitlines())
    said = "\n".join(done.stderr.strip().splitlines()[-STDERR_LINES:]).removeprefix(f"{program.name}: ")
    if done.returncode == BAD_INPUT:
        raise BadInput(said.removesuffix(f", {path}"), where=model)
    raise NfEdgeError(f"the runner {_ending(done.returncode)}\n{said}", where=model)


def _ending(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"failed with exit code {returncode}"
