"""Choose a precision for each unit: the least loss for a file size, by a greedy method.

This is a multiple-choice knapsack whose losses add up.  The greedy method solves its linear relaxation (Sinha
and Zoltners, Operations Research 27, 1979).  It starts with the smallest choice of each unit and ends with
the best.  Each step takes the choice that saves the most loss per byte.  After each step, no allocation of
the same size has less loss.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

# Unit → the index of its choice.
Allocation = dict[str, int]


@dataclass(frozen=True)
class Choice:
    """A possible precision of a unit, which is one or more modules that are quantized together.

    Attributes:
        bytes: bytes of the unit in the file, minus its bytes in float32.
        loss: the loss if only this unit is quantized, in nats.
    """

    bytes: int
    loss: float


def path(units: Mapping[str, Sequence[Choice]]) -> list[Allocation]:
    """Allocations from the smallest file to the least loss; each makes one unit more precise than before.

    An allocation maps each unit to the index of its choice.
    """
    steps = sorted(
        (step for unit, choices in units.items() for step in _steps(unit, choices)),
        key=lambda step: -step.gain,
    )
    allocation = {unit: _smallest(choices) for unit, choices in units.items()}
    allocations = [dict(allocation)]
    for step in steps:
        allocation[step.unit] = step.choice
        allocations.append(dict(allocation))
    return allocations


def fill(allocation: Allocation, units: Mapping[str, Sequence[Choice]], spare: int) -> Allocation:
    """Make units more precise while the file grows by at most `spare` bytes; returns the new allocation."""
    allocation = dict(allocation)
    while True:
        better = [
            (gain, unit, place, more)
            for unit, now in allocation.items()
            for place, choice in enumerate(units[unit])
            if 0 < (more := choice.bytes - units[unit][now].bytes) <= spare
            and (gain := (units[unit][now].loss - choice.loss) / more) > 0
        ]
        if not better:
            return allocation
        _, unit, place, more = max(better)
        allocation[unit] = place
        spare -= more


def trim(
    allocation: Allocation,
    units: Mapping[str, Sequence[Choice]],
    enough: Callable[[Allocation], bool],
    most_trials: int,
) -> Allocation:
    """Choose smaller precisions for some units while the allocation is still good enough.

    Changes that save the most bytes are tried first.  The last step of a path can add more bytes than needed,
    for example if its unit is a large table.  The trials then save bytes in other units.

    Args:
        enough: returns whether an allocation is good enough.
        most_trials: largest number of changes to try.
    """
    saved = [
        (units[unit][now].bytes - choice.bytes, unit, place)
        for unit, now in allocation.items()
        for place, choice in enumerate(units[unit])
        if choice.bytes < units[unit][now].bytes
    ]
    for _, unit, place in sorted(saved, reverse=True)[:most_trials]:
        smaller = units[unit][place].bytes < units[unit][allocation[unit]].bytes
        if smaller and enough(trial := allocation | {unit: place}):
            allocation = trial
    return allocation


@dataclass(frozen=True)
class _Step:
    unit: str
    choice: int
    gain: float


def _steps(unit: str, choices: Sequence[Choice]) -> Iterator[_Step]:
    """The steps of one unit, from its smallest choice on, with decreasing gain per byte.

    The steps follow the lower convex hull of loss over bytes.
    """
    at = _smallest(choices)
    while True:
        here = choices[at]
        gains = [
            (here.loss - choice.loss) / (choice.bytes - here.bytes) if choice.bytes > here.bytes else 0.0
            for choice in choices
        ]
        best = max(range(len(choices)), key=lambda place: (gains[place], choices[place].bytes))
        if gains[best] <= 0:
            return
        yield _Step(unit, best, gains[best])
        at = best


def _smallest(choices: Sequence[Choice]) -> int:
    return min(range(len(choices)), key=lambda place: (choices[place].bytes, choices[place].loss))
