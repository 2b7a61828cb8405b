"""Estimate how much work each kind of operator is on a processor, in instructions of one run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nf_edge.backends.coverage.coverage import Operator


@dataclass(frozen=True)
class Cost:
    """The instructions that an operator needs per multiply-accumulate or per element of its result.

    Attributes:
        instructions: number of instructions per unit.
        per: the unit: `mac` is a multiply-accumulate, `element` is an element of the first result.
    """

    instructions: float
    per: Literal["mac", "element"]

    def of(self, operator: Operator) -> float:
        return self.instructions * (operator.macs if self.per == "mac" else operator.elements)


@dataclass(frozen=True)
class WorkKind:
    """All operators of one name: their number, instructions in one run, and share of all instructions.

    Attributes:
        advice: the change that reduces this work; "" if none is known.
    """

    operator: str
    count: int
    instructions: int
    share: float
    advice: str


@dataclass(frozen=True)
class Work:
    """The instructions of one run, by kind of operator, the most first.

    Attributes:
        source: the measurement behind the costs.
    """

    source: str
    instructions: int
    kinds: tuple[WorkKind, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Costs:
    """The measured costs of a processor's operators.

    Attributes:
        source: the measurement.
        known: costs by operator.
        others: the cost of every other operator.
        advice: maps an operator to the change that reduces its work.
    """

    source: str
    known: Mapping[str, Cost]
    others: Cost
    advice: Mapping[str, str]

    def work(self, operators: Iterable[Operator]) -> Work:
        """Estimate the work of a program's operators."""
        counts, instructions = Counter[str](), Counter[str]()
        for operator in operators:
            counts[operator.name] += 1
            instructions[operator.name] += round(self.known.get(operator.name, self.others).of(operator))
        total = instructions.total()
        return Work(
            self.source,
            total,
            tuple(
                WorkKind(name, counts[name], each, each / total if total else 0.0, self.advice.get(name, ""))
                for name, each in instructions.most_common()
            ),
        )
