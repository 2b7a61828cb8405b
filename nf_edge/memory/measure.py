"""Running a model in a process of its own, and reading what that process held."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nf_edge import runner


@dataclass(frozen=True)
class Measurement:
    """Bytes of a process that ran a model at its largest input.

    Attributes:
        mapped: resident pages of the model file.
        loaded: heap taken by loading, arenas not included.
        arenas: the program's planned arenas; of ONNX Runtime, heap that the runs took.
        workspace: heap that ExecuTorch's kernels and delegates took at the first run.
        runtime: resident pages of libraries, and memory held before the model was touched.
        peak: highest resident memory of the process.
        notes: remarks on single parts, by the names of `accounts.PROCESS_PARTS`.
        machine: what it ran on.
    """

    mapped: int
    loaded: int
    arenas: int
    workspace: int
    runtime: int
    peak: int
    notes: Mapping[str, str]
    machine: str


def measure(
    runtime: Literal["executorch", "onnxruntime"], model: Path, batch_one_length: int, runs: int = 3
) -> Measurement:
    """Run a model natively on inputs of `batch_one_length` tokens.

    Raises:
        MissingTool: the native runner cannot be built here.
        BadInput: the runtime does not take the model.
    """
    row = [0] * batch_one_length, [1] * batch_one_length
    result = runner.run(runtime, model, [row] * runs)
    start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
    at_load, at_runs = loaded.heap_in_use - start.heap_in_use, end.heap_in_use - loaded.heap_in_use
    arenas = sum(result.planned_buffers)
    executorch = runtime == "executorch"
    return Measurement(
        mapped=end.model_mapped_rss,
        loaded=at_load - arenas,
        arenas=arenas if executorch else at_runs,
        workspace=at_runs if executorch else 0,
        runtime=end.rss_file - end.model_mapped_rss + start.rss_anon,
        peak=end.rss_peak,
        notes={},
        machine=f"{platform.machine()} {platform.system()}, {result.threads} threads, native runner",
    )
