"""Asking one process, or several turn about, so that noise of the machine hits all alike."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, TypeVar

from nf_edge.measure.latency.plan import BenchPlan
from nf_edge.measure.runner import Request, TimedProcess

WARM_UP = 3
# A turn has as many runs as take about so long: the first of them finds the caches cold.
TURN_MS = 20.0
MOST_RUNS = 50

Tick = Callable[[], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Side:
    """One of the artifacts: the process that runs it, and whether that has a cache."""

    process: TimedProcess
    cached: bool


@dataclass(frozen=True)
class Workload:
    """A prefill of so many tokens, or decoding upon so many."""

    phase: Literal["prefill", "decode"]
    tokens: int


def points(plan: BenchPlan) -> list[Workload]:
    """All that is measured, in an order in which each context is in the cache already.

    A row's first tokens are always the same, so that the longest prefill leaves the contexts up to its own
    length there, and decoding upon one leaves those that are shorter.
    """
    prefills = [Workload("prefill", length) for length in plan.lengths]
    return prefills + [Workload("decode", context) for context in reversed(plan.contexts)]


def loads(commands: Sequence[tuple[list[str], Path]], repeats: int, tick: Tick) -> list[list[float]]:
    """Milliseconds to load in fresh processes, turn about: a list a command, with one entry a round."""
    found: list[list[float]] = [[] for _ in commands]
    for number in range(repeats):
        for samples, (command, model) in _in_turn(number, found, commands):
            with TimedProcess(command, model) as process:
                samples.append(process.load_ms)
        tick()
    return found


def rounds(
    sides: Sequence[Side], plan: BenchPlan, numbers: Iterable[int], tick: Tick
) -> dict[Workload, list[list[float]]]:
    """Milliseconds of each point: a list a side, with one entry a round, the median of the turn's runs.

    Each round visits all points.  The rounds of a point are thereby as far apart as can be, and a spell of
    noise gets into few of them.

    Args:
        numbers: of the rounds, which decide whose turn is first.
    """
    turns = {point: [_warmed_up(side, plan, point) for side in sides] for point in points(plan)}
    found: dict[Workload, list[list[float]]] = {point: [[] for _ in sides] for point in turns}
    for number in numbers:
        for point, of_sides in turns.items():
            for samples, (side, turn) in _in_turn(
                number, found[point], list(zip(sides, of_sides, strict=True))
            ):
                _fill(side, plan, point)
                samples.append(median(side.process.times(turn)))
        tick()
    return found


def _in_turn(
    number: int, found: Sequence[list[float]], sides: Sequence[T]
) -> Iterator[tuple[list[float], T]]:
    """The sides, and where to put what they say: another one first in each round."""
    all_sides = list(zip(found, sides, strict=True))
    first = number % len(all_sides)
    return iter(all_sides[first:] + all_sides[:first])


def _warmed_up(side: Side, plan: BenchPlan, point: Workload) -> list[Request]:
    """The requests of a turn, after a few runs of them."""
    _fill(side, plan, point)
    if point.phase == "decode":
        turn = plan.steps(point.tokens)
        side.process.times(turn * WARM_UP)
        return turn
    request = plan.prefill(point.tokens, side.cached)
    estimate = side.process.times([request] * WARM_UP)[-1]
    return [request] * max(1, min(MOST_RUNS, round(TURN_MS / max(estimate, TURN_MS / MOST_RUNS))))


def _fill(side: Side, plan: BenchPlan, point: Workload) -> None:
    """Puts a context into the cache where no prefill that is measured is as long."""
    longest = max(plan.contexts, default=0)
    if point == Workload("decode", longest) and longest > max(plan.lengths):
        side.process.times([plan.prefill(longest, side.cached)])
