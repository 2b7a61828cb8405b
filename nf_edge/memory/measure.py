"""Running a model in a process of its own, and reading what that process held."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nf_edge import runner

# More than one: a runtime may take more memory at its second run than at its first.
RUNS = 3


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
        threads: size of the runtime's thread pool.
    """

    mapped: int
    loaded: int
    arenas: int
    workspace: int
    runtime: int
    peak: int
    threads: int


def measure(
    runtime: Literal["executorch", "onnxruntime"], model: Path, input_ids: Sequence[int]
) -> Measurement:
    """Run a model natively on a row of tokens, the largest that it takes.

    Raises:
        MissingTool: the native runner cannot be built here.
        BadInput: the runtime does not take the model.
    """
    row = input_ids, [1] * len(input_ids)
    result = runner.run(runtime, model, [row] * RUNS)
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
        threads=result.threads,
    )


def spread_ids(vocab_size: int, length: int) -> list[int]:
    """Token ids from all over the vocabulary, so that a run touches as much of a mapped table as it can."""
    return [i * vocab_size // length for i in range(length)]


def this_machine() -> str:
    """What figures of this machine are labelled with."""
    return f"{platform.machine()} {platform.system()}"
