"""The heap of a model in one process, from the C library's counters, such as on an emulated core."""

from dataclasses import dataclass
from typing import Self

from nf_edge.backends.runnable import Runnable
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.measure import largest_requests, rows_option


@dataclass(frozen=True)
class HeapCounters:
    """Bytes of a process, from the C library's counters.

    The process of an emulated core also contains pages of the emulator, so its private pages say nothing
    about the model.

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

    @classmethod
    def of(cls, result: runner.RunResult, cache: int) -> Self | None:
        """The counters of a complete run; None if the C library does not report them.

        Args:
            cache: bytes of the full cache.
        """
        start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
        # Every process has a heap, so 0 means unknown.
        if not end.heap_in_use:
            return None
        at_load, at_runs = loaded.heap_in_use - start.heap_in_use, end.heap_in_use - loaded.heap_in_use
        planned = sum(result.planned_buffers)
        arenas, workspace = (planned, at_runs) if result.planned_buffers else (at_runs, 0)
        return cls(
            mapped=end.model_mapped_rss,
            loaded=at_load - planned,
            cache=cache,
            arenas=arenas - cache,
            workspace=workspace + result.temporary_peak,
        )


def measure_emulated(runnable: Runnable, cache: int, core: EmulatedCore) -> HeapCounters | None:
    """Run a model once at its largest input on an emulated core.

    Args:
        cache: bytes of the full cache, which a run shows as part of the arenas.

    Returns:
        The bytes of the heap; None if the C library does not report them.

    Raises:
        MissingTool: a tool that emulates the core is missing.
    """
    command = [*core.command(runnable), *rows_option(runnable)]
    return HeapCounters.of(runner.run_command(command, runnable.file, largest_requests(runnable)), cache)
