"""`nf-edge bench`: the latency of one artifact, or of several in interleaved rounds."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
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
from nf_edge.measure.runner import TimedSession, command_for
from nf_edge.measure.runner.python_process import python_command

# Each load starts a new process, and starting a Python process takes seconds.
MOST_LOADS, MOST_PYTHON_LOADS = 10, 3


@dataclass(frozen=True)
class Runner:
    """The kind of process that runs all artifacts: the native runner, or a Python process.

    Attributes:
        missing: the reason why it is a Python process; "" if it is the native runner.
    """

    missing: str

    @classmethod
    def of(cls, artifacts: Sequence[Runnable]) -> "Runner":
        """Choose the native runner, or a Python process if the native runner cannot run one of the
        artifacts.
        """
        try:
            for artifact in artifacts:
                command_for(artifact, 1)
        except MissingTool as error:
            return cls(f"{error.what} ({error.fix})")
        return cls("")

    def command(self, artifact: Runnable, threads: int) -> list[str]:
        return python_command(artifact, threads) if self.missing else command_for(artifact, threads)

    def peak(self, process: TimedSession) -> Figure:
        """End a process, and return the peak of its resident memory.

        For a Python process, only memory in addition to Python and the runtime counts.
        """
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
            f"measured in a Python process, because {self.missing}: times include Python's calls, and memory "
            "is counted on top of a Python process with the runtime in it"
        ]


def bench(artifacts: Sequence[Runnable], plan: BenchPlan, progress: Progress = silent) -> LatencyReport:
    """Measure the latency of one artifact or of several.

    Each round runs every artifact once; the order rotates between rounds.  Only the model's call is timed.
    Inputs are made, and the cache is reset, before the timer starts.

    Raises:
        BadInput: the runtime cannot load a model file, or this machine cannot measure the target's times.
        NfEdgeError: a runner crashed.
    """
    for artifact in artifacts:
        if simulated := artifact.backend.reference_executor:
            raise BadInput(
                f"cannot be timed here: on this machine it runs only in {simulated}",
                where=artifact.folder,
                fix="time it on its target; report.html has the compiler's estimate, if there is one",
            )
    progress("starting the runner", 0, 1)
    runner = Runner.of(artifacts)
    progress("starting the runner", 1, 1)
    lines: list[BenchRow] = []
    peaks: list[Peak] = []
    for threads in plan.threads:
        rows, peak, versions = _with_threads(artifacts, runner, plan, threads, progress)
        lines += rows
        peaks.append(peak)
    by = "a Python process instead of the native runner" if runner.missing else "native runner"
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


def _with_threads(
    artifacts: Sequence[Runnable], runner: Runner, plan: BenchPlan, threads: int, progress: Progress
) -> tuple[list[BenchRow], Peak, list[str]]:
    """Measure all artifacts with a number of threads.

    Returns:
        The rows of the report, the peak memory, and the version of each artifact's runtime.
    """
    commands = [(runner.command(artifact, threads), artifact.file) for artifact in artifacts]
    load_rounds = min(plan.repeats, MOST_PYTHON_LOADS if runner.missing else MOST_LOADS)
    step = f"measuring with {threads} thread{'s' if threads > 1 else ''}"
    tick = _ticker(step, load_rounds + plan.repeats, progress)
    samples: dict[Workload, list[list[float]]] = {}
    peaks: list[list[Figure]] = [[] for _ in artifacts]
    # Processes of the same file differ in speed, partly because of the order in which they start.  So each
    # artifact runs in as many processes as there are artifacts, and each artifact starts first once.
    several = len(artifacts)
    for first in range(several):
        numbers = range(plan.repeats * first // several, plan.repeats * (first + 1) // several)
        if not numbers:
            continue  # more artifacts than rounds
        with ExitStack() as stack:
            started = {
                number: stack.enter_context(TimedSession(*commands[number]))
                for number in (*range(first, several), *range(first))
            }
            processes = [started[number] for number in range(several)]
            sides = [
                Side(process, artifact.input_shape.cached)
                for process, artifact in zip(processes, artifacts, strict=True)
            ]
            for workload, times in rounds(sides, plan, numbers, tick).items():
                by_side = samples.setdefault(workload, [[] for _ in artifacts])
                for side_samples, side_times in zip(by_side, times, strict=True):
                    side_samples += side_times
            for figures, process in zip(peaks, processes, strict=True):
                figures.append(runner.peak(process))
    # Load times are measured last, when the page cache holds every file.
    lines = [BenchRow.of("load", threads, None, loads(commands, load_rounds, tick))]
    # The rows are in the requested order, although the longest context is measured first.
    for workload in sorted(samples, key=lambda workload: (workload.phase != "prefill", workload.tokens)):
        lines.append(BenchRow.of(workload.phase, threads, workload.tokens, samples[workload]))
    peak = Peak(threads, tuple(map(_largest, peaks)))
    return lines, peak, [process.version for process in processes]


def _largest(figures: Sequence[Figure]) -> Figure:
    """The largest figure; an unavailable figure counts as the largest."""
    return max(figures, key=lambda figure: math.inf if figure.value is None else figure.value)


def _ticker(step: str, total: int, progress: Progress) -> Tick:
    """A function to call after each round; it reports the number of finished rounds of `total`.

    Args:
        step: the text of the progress bar.
    """
    done = 0

    def tick() -> None:
        nonlocal done
        done += 1
        progress(step, done, total)

    progress(step, 0, total)
    return tick


def _measured(artifact: Runnable, version: str) -> Measured:
    return Measured(
        str(artifact.folder), artifact.checkpoint, artifact.recipe.name, artifact.backend.runtime, version
    )
