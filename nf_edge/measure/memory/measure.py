"""Run a model in a separate process, and measure that process's memory."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore

# A runtime may use more memory in its second run than in its first.
RUNS = 3


@dataclass(frozen=True)
class Measurement:
    """Bytes of a process that ran a model at its largest input.

    Attributes:
        mapped: resident pages of the model file.
        loaded: heap that loading allocated, without arenas.
        cache: keys and values, as planned; a run shows them as part of the arenas.
        arenas: the program's memory-planned buffers; for ONNX Runtime, heap that the runs allocated.
        workspace: heap that ExecuTorch's delegates allocated in the first run, and the peak of kernels'
            temporary memory during a run.
        loading: memory that loading used and gave back: the peak at load minus the resident memory at the
            end.
        runtime: resident pages of libraries, and memory allocated before the model was read.
        peak: highest resident memory of the process.
        threads: size of the runtime's thread pool.
        heap_is_known: whether the C library reports the heap; if not, `loaded`, `arenas` and `workspace` are
            invalid.
    """

    mapped: int
    loaded: int
    cache: int
    arenas: int
    workspace: int
    loading: int
    runtime: int
    peak: int
    threads: int
    heap_is_known: bool


def measure(runnable: Runnable, cache: int, core: EmulatedCore | None = None) -> Measurement:
    """Run a model in the native runner at its largest input.

    Args:
        cache: bytes of the full cache, which a run shows as part of the arenas.
        core: the emulated core that runs the model; `runtime` and `peak` then include QEMU's pages.

    Raises:
        MissingTool: the native runner cannot be built here.
        BadInput: the runtime cannot load the model.
    """
    command = runner.command_for(runnable) if core is None else core.command(runnable)
    result = runner.run_command(command, runnable.file, largest_requests(runnable))
    start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
    at_load, at_runs = loaded.heap_in_use - start.heap_in_use, end.heap_in_use - loaded.heap_in_use
    planned = sum(result.planned_buffers)
    # A file without a memory plan gets its arenas from the heap in the first runs.
    arenas, workspace = (planned, at_runs) if result.planned_buffers else (at_runs, 0)
    return Measurement(
        mapped=end.model_mapped_rss,
        loaded=at_load - planned,
        cache=cache,
        arenas=arenas - cache,
        workspace=workspace + result.temporary_peak,
        loading=max(0, loaded.rss_peak - end.rss),
        runtime=end.rss_file - end.model_mapped_rss + start.rss_anon,
        peak=end.rss_peak,
        threads=result.threads,
        # Every process has a heap, so 0 means unknown.
        heap_is_known=end.heap_in_use > 0,
    )


def largest_requests(runnable: Runnable) -> Sequence[runner.Request]:
    """Requests with the largest input of a model.

    With a cache: a prompt that fills the cache, then steps that repeat its last token at the last position.
    """
    ids = _spread_ids(runnable.config.vocab_size, runnable.input_shape.length)
    if runnable.input_shape.cached:
        return [(ids, [0])] + [(ids[-1:], [len(ids) - 1])] * (RUNS - 1)
    return [(ids, [1] * len(ids))] * RUNS


def _spread_ids(vocab_size: int, length: int) -> list[int]:
    """Token ids spread over the vocabulary, so that a run reads many pages of a mapped table."""
    return [i * vocab_size // length for i in range(length)]


def this_machine() -> str:
    """The name of this machine in reports: architecture and system."""
    return f"{platform.machine()} {platform.system()}"
