"""Count the operators and multiply-accumulates that an accelerated library executes, and all others."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Operator:
    """One call in a graph.

    Attributes:
        macs: multiply-accumulates of one run.
        taken: whether the accelerated library executes the call.
        elements: elements of its first result.
    """

    name: str
    macs: int
    taken: bool
    elements: int = 0


@dataclass(frozen=True)
class Left:
    """All operators of one name that the accelerated library does not execute.

    Attributes:
        count: the number of these operators.
        macs: multiply-accumulates of all of them in one run.
        fix: a change to the recipe with which the library executes these operators; "" if none is known.
    """

    operator: str
    count: int
    macs: int
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Coverage:
    """The operators that the backend's library executes, and the operators left to plain kernels.

    Attributes:
        delegated: the number of operators that the library executes.
        macs: multiply-accumulates of the delegated operators in one run of one row with `length` tokens.
            Fused attention includes masked scores.
        length: the maximum number of tokens of a row.
    """

    library: str
    delegated: int
    macs: int
    length: int
    left: tuple[Left, ...] = ()

    @property
    def total(self) -> int:
        return self.delegated + sum(entry.count for entry in self.left)

    @property
    def total_macs(self) -> int:
        return self.macs + sum(entry.macs for entry in self.left)

    def with_fixes(self, fixes: Mapping[str, str]) -> "Coverage":
        """A copy with a fix for each operator in `fixes`, which maps names of operators to sentences."""
        fixed = (replace(entry, fix=fixes.get(entry.operator, "")) for entry in self.left)
        return replace(self, left=tuple(fixed))

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"total": self.total, "total_macs": self.total_macs}


def coverage_of(
    operators: Iterable[Operator],
    library: str,
    length: int,
    reason: Callable[[str], str],
) -> Coverage:
    """Count the operators that the library executes, and group the others by name, the most frequent first.

    Args:
        length: the maximum number of tokens of a row.
        reason: a function from an operator's name to the reason why the library does not execute it.
    """
    delegated = macs = 0
    left: dict[str, tuple[int, int]] = {}
    for operator in operators:
        if operator.taken:
            delegated, macs = delegated + 1, macs + operator.macs
        else:
            count, of_these = left.get(operator.name, (0, 0))
            left[operator.name] = count + 1, of_these + operator.macs
    entries = (Left(name, *figures, reason(name)) for name, figures in left.items())
    return Coverage(
        library, delegated, macs, length, tuple(sorted(entries, key=lambda entry: entry.count, reverse=True))
    )
