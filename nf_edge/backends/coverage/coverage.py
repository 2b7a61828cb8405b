"""The operators and multiply-accumulates that an accelerated library executes, and reasons for the rest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Operator:
    """One call of a graph.

    Attributes:
        macs: multiply-accumulates of one run.
        taken: whether the library executes it.
    """

    name: str
    macs: int
    taken: bool


@dataclass(frozen=True)
class Left:
    """Operators of one name that an accelerated library did not take.

    Attributes:
        macs: multiply-accumulates of all of them in one run.
        fix: what of a recipe is to be written otherwise for them to be taken; "" where nothing is known.
    """

    operator: str
    count: int
    macs: int
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Coverage:
    """The operators that the backend's library executes, and those left to plain kernels.

    Attributes:
        delegated: operators that the library executes.
        macs: multiply-accumulates of those in one run, of one row of `length` tokens, the most that there may
            be; of attention in one piece hidden scores are counted too.
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
        """The coverage with the likely fix of each operator that is left, by name."""
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
    """The account of a program's operators, those left by name, the most frequent first.

    Args:
        reason: why an operator is left, by its name.
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
