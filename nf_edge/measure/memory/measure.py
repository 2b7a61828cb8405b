"""Running a model in a process of its own, and reading what that process held."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import InputShape
from nf_edge.measure import runner
from nf_edge.measure.emulation import EmulatedCore

# More than one: a runtime may take more memory at its second run than at its first.
RUNS = 3


@dataclass(frozen=True)
class Measurement:
    """Bytes of a process that ran a model at its largest input.

    Attributes:
        mapped: resident pages of the model file.
        loaded: heap taken by loading, arenas not included.
        cache: keys and values, as they were given: a run shows them among the arenas only.
        arenas: the program's planned arenas; of ONNX Runtime, heap that the runs took.
        workspace: heap that ExecuTorch's delegates took at the first run, and the most that kernels held
            while they ran.
        loading: by how much the peak at load was above what is resident at the end.
        runtime: resident pages of libraries, and memory held before the model was touched.
        peak: highest resident memory of the process.
        threads: size of the runtime's thread pool.
        heap_is_known: whether the C library tells what the heap holds; if not, `loaded`, `arenas` and
            `workspace` are not to be used.
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


def measure(
    backend: Backend,
    model: Path,
    input_shape: InputShape,
    vocab_size: int,
    cache: int,
    core: EmulatedCore | None = None,
) -> Measurement:
    """Run a model natively on the largest input that it takes; where it has a cache, on a prompt that fills
    it, and then on the last token again, as a step.

    Args:
        cache: bytes of the full cache, which a run shows among the arenas only.
        core: to run it as; QEMU's own pages are then among those of `runtime` and `peak`.

    Raises:
        MissingTool: the native runner cannot be built here.
        BadInput: the runtime does not take the model.
    """
    ids = spread_ids(vocab_size, input_shape.length)
    requests = requests_at_the_largest(input_shape, ids)
    if core is None:
        operators, launcher = backend.operators_file(), backend.launcher(None)
        command = runner.native_command(backend.runtime, model, operators=operators, launcher=launcher)
    else:
        command = core.command(backend, model)
    result = runner.run_command(command, model, requests)
    start, loaded, end = (result.stage(name) for name in ("start", "method_loaded", "finished"))
    at_load, at_runs = loaded.heap_in_use - start.heap_in_use, end.heap_in_use - loaded.heap_in_use
    arenas = sum(result.planned_buffers)
    executorch = backend.runtime == "executorch"
    return Measurement(
        mapped=end.model_mapped_rss,
        loaded=at_load - arenas,
        cache=cache,
        arenas=(arenas if executorch else at_runs) - cache,
        workspace=at_runs + result.temporary_peak if executorch else 0,
        loading=max(0, loaded.rss_peak - end.rss),
        runtime=end.rss_file - end.model_mapped_rss + start.rss_anon,
        peak=end.rss_peak,
        threads=result.threads,
        # A process that runs has a heap.
        heap_is_known=end.heap_in_use > 0,
    )


def requests_at_the_largest(input_shape: InputShape, ids: Sequence[int]) -> Sequence[runner.Request]:
    """Runs of a row of tokens; where the model has a cache, of that row as a prompt and then of its last
    token again, as a step."""
    if input_shape.cached:
        return [(ids, [0])] + [(ids[-1:], [len(ids) - 1])] * (RUNS - 1)
    return [(ids, [1] * len(ids))] * RUNS


def spread_ids(vocab_size: int, length: int) -> list[int]:
    """Token ids from all over the vocabulary, so that a run touches as much of a mapped table as it can."""
    return [i * vocab_size // length for i in range(length)]


def this_machine() -> str:
    """What figures of this machine are labelled with."""
    return f"{platform.machine()} {platform.system()}"
