"""Run a model in separate processes, and measure their memory."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
from nf_edge.measure import runner
from nf_edge.measure.memory.measurement import Measurement

# Processes whose memory is measured.
PROCESSES = 3
# A runtime may use more memory in its second run than in its first.
RUNS = 3


@dataclass(frozen=True)
class Measurements:
    """The memory of several processes that ran the same model.

    Attributes:
        runs: one measurement per process.
        freed: bytes of heap that loading freed and the C library keeps; None if the library cannot return
            them.  The figure `loaded` of each measurement includes them.
        threads: size of the runtime's thread pool.
    """

    runs: tuple[Measurement, ...]
    freed: int | None
    threads: int

    @property
    def highest(self) -> Measurement:
        """The process with the highest peak."""
        return max(self.runs, key=lambda run: run.peak)


def measure(runnable: Runnable, cache: int) -> Measurements:
    """Run a model at its largest input in several native processes, one after another.

    Each process starts without the model in the page cache.

    Args:
        cache: bytes of the full cache, which a run shows as part of the arenas.

    Raises:
        MissingTool: the native runner cannot be built here.
        BadInput: the runtime cannot load the model.
    """
    command, file = [*runner.command_for(runnable), *rows_option(runnable)], runnable.file
    requests = largest_requests(runnable)
    results = [runner.run_command([*command, "--cold"], file, requests) for _ in range(PROCESSES)]
    runs = tuple(Measurement.of(result, cache) for result in results)
    return Measurements(runs, _freed(runner.run_command([*command, "--trim"], file, [])), results[0].threads)


def _freed(loaded: runner.RunResult) -> int | None:
    """Bytes that the C library returned to the system after loading; None if it cannot."""
    stages = {stage.name: stage for stage in loaded.stages}
    if "trimmed" not in stages:
        return None
    return max(0, stages["method_loaded"].rss_anon - stages["trimmed"].rss_anon)


def largest_requests(runnable: Runnable) -> Sequence[runner.Request]:
    """Requests with the largest input of a model.

    With a cache: a prompt, then steps that fill the cache.  Each step continues at the end of the cache, like
    an application; the runner would have to copy a cache that it cuts.
    """
    length = runnable.input_shape.length
    ids = _spread_ids(runnable.config.vocab_size, length)
    if not runnable.input_shape.cached:
        rows = runnable.input_shape.rows
        return [(ids * rows, [1] * length * rows)] * RUNS
    prompt = max(1, length - (RUNS - 1))
    return [(ids[:prompt], [0]), *((ids[i : i + 1], [i]) for i in range(prompt, length))]


def rows_option(runnable: Runnable) -> list[str]:
    """The option that tells the native runner how many rows a request has; empty for one row."""
    rows = runnable.input_shape.rows
    return [] if rows == 1 else ["--rows", str(rows)]


def _spread_ids(vocab_size: int, length: int) -> list[int]:
    """`length` token ids spread over the vocabulary, so that a run reads many pages of a mapped table."""
    return [i * vocab_size // length for i in range(length)]


def this_machine() -> str:
    """The name of this machine in reports: architecture and system."""
    return f"{platform.machine()} {platform.system()}"
