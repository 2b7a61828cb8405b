"""`bench`: the latency of an artifact, or of several turn about."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from nf_edge.artifact import Artifact
from nf_edge.backends import get_backend
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.figures import Figure
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.latency.interleaved import Side, Tick, Workload, loads, rounds
from nf_edge.measure.latency.latency_report import BenchRow, LatencyReport, Measured, Peak
from nf_edge.measure.latency.machine import cpu_name
from nf_edge.measure.latency.plan import SEED, BenchPlan
from nf_edge.measure.memory.accounts import NO_PROCFS
from nf_edge.measure.memory.measure import this_machine
from nf_edge.measure.runner import TimedProcess, native_command
from nf_edge.measure.runner.python_process import python_command

# Each is a fresh process, and one of Python takes seconds to begin.
MOST_LOADS, MOST_PYTHON_LOADS = 10, 3


@dataclass(frozen=True)
class Runner:
    """What the artifacts are run by.

    Attributes:
        missing: why that is a Python process instead of the native runner, or "".
    """

    missing: str

    def command(self, artifact: Artifact, threads: int) -> list[str]:
        manifest = artifact.manifest
        if self.missing:
            input_shape = manifest.interface.input_shape
            return python_command(manifest.recipe.backend, artifact.model_file, input_shape, threads)
        backend = get_backend(manifest.recipe.backend)
        operators, launcher = backend.operators_file(), backend.launcher(threads)
        return native_command(manifest.requires.runtime, artifact.model_file, threads, operators, launcher)

    def peak(self, process: TimedProcess) -> Figure:
        """The most memory that the process held, which ends it."""
        peak = process.finish()
        if peak.rss_peak == 0:
            return Figure.unavailable("bytes", NO_PROCFS)
        if not self.missing:
            return Figure(peak.rss_peak, "bytes", "measured", "peak of resident memory")
        baseline = process.start.rss
        note = "on top of a Python process with the runtime in it"
        return Figure(peak.rss_peak_since_start - baseline, "bytes", "measured", note)

    def notes(self) -> list[str]:
        if not self.missing:
            return []
        return [
            f"measured in a Python process, because {self.missing}: times include its calls, and memory is "
            "what comes on top of a Python process with the runtime in it"
        ]


def bench(artifacts: Sequence[Artifact], plan: BenchPlan, progress: Progress = silent) -> LatencyReport:
    """Measure one artifact or several.

    Of several, each round asks one after the other, another one first each time.  The time of a
    call is that of the model alone: inputs are made, and a cache taken back to its context, before the clock
    starts.

    Raises:
        BadInput: the runtime does not take a model file, or none on this machine runs it in its own time.
        NfEdgeError: a runner crashed.
    """
    for artifact in artifacts:
        if simulated := get_backend(artifact.manifest.recipe.backend).reference_executor:
            raise BadInput(
                f"cannot be timed here: nothing on this machine runs it but {simulated}",
                where=artifact.path,
                fix="time it on its target; its report has what the compiler of that tells of it",
            )
    progress("starting the runner", 0, 1)
    runner = _runner(artifacts)
    progress("starting the runner", 1, 1)
    lines: list[BenchRow] = []
    peaks: list[Peak] = []
    for threads in plan.threads:
        found, peak, versions = _with_threads(artifacts, runner, plan, threads, progress)
        lines += found
        peaks.append(peak)
    by = "a Python process for want of the native runner" if runner.missing else "native runner"
    parts = (this_machine(), cpu_name(), f"{allowed_cpus()} CPUs", by)
    return LatencyReport(
        artifacts=tuple(map(_measured, artifacts, versions)),
        inputs={"batch": 1, "seed": SEED, "vocabulary": plan.vocabulary},
        lines=tuple(lines),
        peaks=tuple(peaks),
        machine=", ".join(part for part in parts if part),
        no_decoding=plan.no_decoding,
        notes=tuple(runner.notes()),
    )


def _runner(artifacts: Sequence[Artifact]) -> Runner:
    """The native runner, unless one of the artifacts cannot have it: all are run in the same way."""
    try:
        for artifact in artifacts:
            Runner("").command(artifact, 1)
    except MissingTool as error:
        return Runner(f"{error.what} ({error.fix})")
    return Runner("")


def _with_threads(
    artifacts: Sequence[Artifact], runner: Runner, plan: BenchPlan, threads: int, progress: Progress
) -> tuple[list[BenchRow], Peak, list[str]]:
    """All lines with so many threads, the peak over them, and the versions of the runtimes."""
    commands = [(runner.command(artifact, threads), artifact.model_file) for artifact in artifacts]
    load_rounds = min(plan.repeats, MOST_PYTHON_LOADS if runner.missing else MOST_LOADS)
    step = f"measuring with {threads} thread{'s' if threads > 1 else ''}"
    tick = _ticker(step, load_rounds + plan.repeats, progress)
    found: dict[Workload, list[list[float]]] = {}
    peaks: list[list[Figure]] = [[] for _ in artifacts]
    # A process is faster or slower than another of the same file, by when it was started among other things.
    # So each artifact has as many processes as there are artifacts, and is the first one started once.
    several = len(artifacts)
    for first in range(several):
        numbers = range(plan.repeats * first // several, plan.repeats * (first + 1) // several)
        if not numbers:
            continue  # more artifacts than rounds
        with ExitStack() as stack:
            started = {
                number: stack.enter_context(TimedProcess(*commands[number]))
                for number in (*range(first, several), *range(first))
            }
            processes = [started[number] for number in range(several)]
            sides = [
                Side(process, artifact.manifest.interface.cached)
                for process, artifact in zip(processes, artifacts, strict=True)
            ]
            for point, times in rounds(sides, plan, numbers, tick).items():
                of_sides = found.setdefault(point, [[] for _ in artifacts])
                for samples, more in zip(of_sides, times, strict=True):
                    samples += more
            for figures, process in zip(peaks, processes, strict=True):
                figures.append(runner.peak(process))
    # Loading comes last, when the file is in the page cache for all alike.
    lines = [BenchRow.of("load", threads, None, loads(commands, load_rounds, tick))]
    # As they were asked for: decoding upon the longest context is measured first.
    for point in sorted(found, key=lambda point: (point.phase != "prefill", point.tokens)):
        lines.append(BenchRow.of(point.phase, threads, point.tokens, found[point]))
    peak = Peak(threads, tuple(map(_largest, peaks)))
    return lines, peak, [process.version for process in processes]


def _largest(figures: Sequence[Figure]) -> Figure:
    """The largest; unavailable where one is."""
    return max(figures, key=lambda figure: math.inf if figure.value is None else figure.value)


def _ticker(step: str, total: int, progress: Progress) -> Tick:
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(step, done, total)

    progress(step, 0, total)
    return tick


def _measured(artifact: Artifact, version: str) -> Measured:
    manifest = artifact.manifest
    return Measured(
        str(artifact.path),
        manifest.checkpoint.name,
        manifest.recipe.name,
        manifest.requires.runtime,
        version,
    )
