"""The heap of a model on an emulated core."""

from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.measure import largest_requests, rows_option


@dataclass(frozen=True)
class EmulatedHeap:
    """Bytes of a process on an emulated core, from the C library's counters.

    The process also contains pages of the emulator, so its private pages say nothing about the model.

    Attributes:
        mapped: resident pages of the model file.
        loaded: heap that loading allocated, without arenas.
        cache: keys and values, as planned; a run shows them as part of the arenas.
        arenas: the program's memory-planned buffers; for ONNX Runtime, heap that the runs allocated, which
            includes pages that no run used.
        workspace: heap that ExecuTorch's delegates and kernels allocated in the runs.
    """

    mapped: int
    loaded: int
    cache: int
    arenas: int
    workspace: int


def measure_emulated(runnable: Runnable, cache: int, core: EmulatedCore) -> EmulatedHeap | None:
    """Run a model once at its largest input on an emulated core.

    Args:
        cache: bytes of the full cache, which a run shows as part of the arenas.

    Returns:
        The bytes of the heap; None if the C library does not report them.

    Raises:
        MissingTool: a tool that emulates the core is missing.
    """
    command = [*core.command(runnable), *rows_option(runnable)]
    result = runner.run_command(command, runnable.file, largest_requests(runnable))
    start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
    # Every process has a heap, so 0 means unknown.
    if not end.heap_in_use:
        return None
    at_load, at_runs = loaded.heap_in_use - start.heap_in_use, end.heap_in_use - loaded.heap_in_use
    planned = sum(result.planned_buffers)
    arenas, workspace = (planned, at_runs) if result.planned_buffers else (at_runs, 0)
    return EmulatedHeap(
        mapped=end.model_mapped_rss,
        loaded=at_load - planned,
        cache=cache,
        arenas=arenas - cache,
        workspace=workspace + result.temporary_peak,
    )
