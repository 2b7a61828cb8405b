"""The runner's report, and the parser of its JSON lines."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from nf_edge.core import strict_json


@dataclass(frozen=True)
class Stage:
    """The memory of the runner's process, in bytes, at one stage of its run.

    Attributes:
        name: `start` (runtime loaded, model not read), `program_loaded` (ExecuTorch only), `method_loaded`,
            `trimmed` (free heap returned to the system; only if requested), `first_run` or `finished`.
        elapsed_ms: time since the previous stage, without the time to read the memory.
        rss: resident pages, the sum of `rss_anon` and `rss_file`.
        rss_anon: pages without a file, private to the process.  They include heap that was freed but not
            returned to the system.
        library_rss_anon: pages of `rss_anon` in mappings of libraries: private copies of pages that the
            dynamic linker or the library wrote.
        rss_file: pages of files (the model, libraries), which the system may drop and read again.
        model_mapped_rss: pages of `rss_file` that belong to the model or to its `.data` file.  It is an upper
            bound, because the kernel maps up to 16 cached pages around each page in use.
        heap_in_use: bytes that malloc allocated and that were not freed (glibc; 0 with other libraries).
            Only an emulated core needs it, because the emulator's pages are in `rss_anon`.
        rss_peak: the highest `rss` since the process started.
        rss_peak_since_start: the highest `rss` since the stage `start`.
        rss_peak_of_stage: the highest `rss` since the previous stage.
        peak_was_reset: whether the kernel resets peaks; if not, all three peaks are those since the process
            started.
    """

    name: str
    elapsed_ms: float
    rss: int
    rss_anon: int
    library_rss_anon: int
    rss_file: int
    model_mapped_rss: int
    heap_in_use: int
    rss_peak: int
    rss_peak_since_start: int
    rss_peak_of_stage: int
    peak_was_reset: bool


@dataclass(frozen=True)
class RunResult:
    """The report of one complete run of the runner.

    Attributes:
        stages: the stages in the order of the run.
        outputs: one float32 array per request, in the shape of the model's output.
        run_ms: milliseconds of each request, without the time to make its inputs and to reset the cache.
        planned_buffers: sizes of ExecuTorch's memory-planned arenas, in bytes; empty for ONNX Runtime.
        temporary_peak: peak bytes of ExecuTorch's temporary memory for kernels during a run, without
            delegates; 0 for ONNX Runtime.
        runtime: `executorch` or `onnxruntime`.
        version: version of the runtime.
        threads: size of the runtime's thread pool.
    """

    stages: tuple[Stage, ...]
    outputs: list[npt.NDArray[np.float32]]
    run_ms: list[float]
    planned_buffers: tuple[int, ...]
    temporary_peak: int
    runtime: str
    version: str
    threads: int

    def stage(self, name: str) -> Stage:
        """The stage with this name; raises KeyError if the run did not have it."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise KeyError(name)


def parse(lines: Iterable[str]) -> RunResult:
    """Make the result of a successful run from the JSON lines that the runner printed."""
    entries = [strict_json.loads(line) for line in lines]
    stages = [entry for entry in entries if "stage" in entry]
    runs = [entry for entry in entries if "logits" in entry]
    start = stages[0]
    planned_buffers = [entry["planned_buffers"] for entry in stages if "planned_buffers" in entry]
    return RunResult(
        stages=tuple(stage(entry) for entry in stages),
        outputs=[logits_of(entry) for entry in runs],
        run_ms=[entry["run_ms"] for entry in runs],
        planned_buffers=tuple(planned_buffers[0]) if planned_buffers else (),
        temporary_peak=stages[-1]["temporary_peak"],
        runtime=start["runtime"],
        version=start["version"],
        threads=start["threads"],
    )


def logits_of(entry: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The float32 logits of one parsed line of the runner's output.

    JSON null stands for a logit that is not finite; it becomes NaN.
    """
    return np.array(entry["logits"], dtype=np.float32).reshape(entry["shape"])


def stage(entry: dict[str, Any]) -> Stage:
    """Make a stage from one parsed JSON line of the runner's output."""
    return Stage(name=entry["stage"], **{field.name: entry[field.name] for field in fields(Stage)[1:]})
