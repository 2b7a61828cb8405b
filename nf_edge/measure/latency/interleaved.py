"""Interleaved rounds over several processes, so that the machine's noise affects all processes equally."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

from nf_edge.measure.latency.plan import BenchPlan
from nf_edge.measure.runner import Request, TimedSession

WARM_UP = 3
# Milliseconds of one sample: the median of several runs, because the first run has cold caches.
SAMPLE_MS = 20.0
MOST_RUNS = 50

Tick = Callable[[], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Side:
    """One artifact: the process that runs it, and whether the model has a cache."""

    process: TimedSession
    cached: bool


@dataclass(frozen=True)
class Workload:
    """A prefill of `tokens` tokens, or decoding after that many tokens of context."""

    phase: Literal["prefill", "decode"]
    tokens: int


def workloads(plan: BenchPlan) -> list[Workload]:
    """All workloads of a plan: first each prefill, then decoding after each context, the longest first.

    In this order decoding finds its context in the cache.  All requests use the same row of tokens, so the
    longest prefill leaves all shorter contexts in the cache.  Decoding after a long context overwrites no
    shorter context.
    """
    prefills = [Workload("prefill", length) for length in plan.lengths]
    return prefills + [Workload("decode", context) for context in reversed(plan.contexts)]


def loads(commands: Sequence[tuple[list[str], Path]], repeats: int, tick: Tick) -> list[list[float]]:
    """Measure the milliseconds that a new process needs to load each model, in interleaved rounds.

    Args:
        commands: for each artifact, the runner's command and the model file.
        tick: called after each round.

    Returns:
        One list per command, with one entry per round.
    """
    samples: list[list[float]] = [[] for _ in commands]
    for number in range(repeats):
        for side_samples, (command, model) in _rotated(number, samples, commands):
            with TimedSession(command, model) as process:
                side_samples.append(process.load_ms)
        tick()
    return samples


def rounds(
    sides: Sequence[Side], plan: BenchPlan, numbers: Iterable[int], tick: Tick
) -> dict[Workload, list[list[float]]]:
    """Map each workload to its times in milliseconds: one list per side, with one sample per round.

    Each round runs all workloads.  The samples of a workload are therefore far apart in time, and a short
    disturbance affects few of them.

    Args:
        numbers: the numbers of the rounds, which decide the first side of each round.
        tick: called after each round.
    """
    requests = {
        workload: [_warmed_up(side, plan, workload) for side in sides] for workload in workloads(plan)
    }
    samples: dict[Workload, list[list[float]]] = {workload: [[] for _ in sides] for workload in requests}
    for number in numbers:
        for workload, by_side in requests.items():
            both = list(zip(sides, by_side, strict=True))
            for side_samples, (side, side_requests) in _rotated(number, samples[workload], both):
                _fill(side, plan, workload)
                side_samples.append(median(side.process.times(side_requests)))
        tick()
    return samples


def _rotated(
    number: int, samples: Sequence[list[float]], sides: Sequence[T]
) -> Iterator[tuple[list[float], T]]:
    """Yield (samples, side) for each side; the number of the round decides which side comes first."""
    every = list(zip(samples, sides, strict=True))
    first = number % len(every)
    return iter(every[first:] + every[:first])


def _warmed_up(side: Side, plan: BenchPlan, workload: Workload) -> list[Request]:
    """Run a workload a few times to warm up; return the requests of one timed sample."""
    _fill(side, plan, workload)
    if workload.phase == "decode":
        steps = plan.steps(workload.tokens)
        side.process.times(steps * WARM_UP)
        return steps
    request = plan.prefill(workload.tokens, side.cached)
    estimate = side.process.times([request] * WARM_UP)[-1]
    return [request] * max(1, min(MOST_RUNS, round(SAMPLE_MS / max(estimate, SAMPLE_MS / MOST_RUNS))))


def _fill(side: Side, plan: BenchPlan, workload: Workload) -> None:
    """Fill the cache for decoding after the longest context, unless a measured prefill already did."""
    longest = max(plan.contexts, default=0)
    if workload == Workload("decode", longest) and longest > max(plan.lengths):
        side.process.times([plan.prefill(longest, side.cached)])
