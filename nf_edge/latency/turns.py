"""Asking one process, or two of them turn about, so that noise of the machine hits both alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from nf_edge.latency.plan import Plan
from nf_edge.runner import Request, TimedProcess

WARM_UP = 3
# A turn has as many runs as take about so long: the first of them finds the caches cold.
TURN_MS = 20.0
MOST_RUNS = 50

Tick = Callable[[], None]


@dataclass(frozen=True)
class Side:
    """One of the artifacts: the process that runs it, and whether that has a cache."""

    process: TimedProcess
    cached: bool


def loads(commands: Sequence[tuple[list[str], Path]], repeats: int, tick: Tick) -> list[list[float]]:
    """Milliseconds to load in fresh processes, turn about: a list a command, with one entry a round."""
    found: list[list[float]] = [[] for _ in commands]
    for _ in range(repeats):
        for samples, (command, model) in zip(found, commands, strict=True):
            with TimedProcess(command, model) as process:
                samples.append(process.load_ms)
        tick()
    return found


def prefills(sides: Sequence[Side], plan: Plan, length: int, tick: Tick) -> list[list[float]]:
    """Milliseconds of a run of `length` tokens: a list a side, with the median of each turn."""
    turns = []
    for side in sides:
        request = plan.prefill(length, side.cached)
        estimate = side.process.times([request] * WARM_UP)[-1]
        turns.append([request] * max(1, min(MOST_RUNS, round(TURN_MS / estimate))))
    return _turn_about(sides, turns, plan.repeats, tick)


def steps(sides: Sequence[Side], plan: Plan, context: int, tick: Tick) -> list[list[float]]:
    """Milliseconds a token of decoding upon a context: a list a side, with the median of each turn."""
    turn = plan.steps(context)
    for side in sides:
        # Fills the cache; each turn takes it back to the context, which is not timed.
        side.process.times([plan.prefill(context, side.cached), *turn * WARM_UP])
    return _turn_about(sides, [turn for _ in sides], plan.repeats, tick)


def _turn_about(
    sides: Sequence[Side], turns: Sequence[list[Request]], repeats: int, tick: Tick
) -> list[list[float]]:
    found: list[list[float]] = [[] for _ in sides]
    for _ in range(repeats):
        for samples, side, turn in zip(found, sides, turns, strict=True):
            samples.append(median(side.process.times(turn)))
        tick()
    return found
