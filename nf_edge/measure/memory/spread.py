"""The spread of a measured figure over several processes."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from nf_edge.measure.memory.measurement import Measurement


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest bytes of a figure that several processes measured."""

    median: float
    low: int
    high: int

    @classmethod
    def of(cls, values: Sequence[int]) -> Self:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Repeats:
    """The totals of several processes that ran the same model.

    Attributes:
        processes: number of processes.
        totals: spread of each total of the report, by the total's name.
    """

    processes: int
    totals: dict[str, Spread]

    @classmethod
    def of(cls, runs: "Sequence[Measurement]") -> Self:
        totals = {
            "steady state": [run.steady for run in runs],
            "load peak": [run.load_peak for run in runs],
            "process": [run.peak for run in runs],
        }
        return cls(len(runs), {name: Spread.of(values) for name, values in totals.items()})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
