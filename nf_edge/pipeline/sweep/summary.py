"""The summary of a sweep: the smallest recipe without a loss, the fastest, and the dominated recipes."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.measure.latency.latency_report import BenchRow


@dataclass(frozen=True)
class Facts:
    """The figures that recipes are compared by; an unknown figure is infinite.

    Attributes:
        file, memory: size of the file and memory of the process, in bytes.
        times: median time of each latency measurement, in ms.
        kl: mean KL divergence of the predictions from the checkpoint's, in nats.
        loses: whether the intervals show a worse accuracy, or a worse perplexity of a language model.
        passed: whether the recipe passes all gates.
    """

    recipe: str
    file: float
    memory: float
    times: tuple[float, ...]
    kl: float
    loses: bool
    passed: bool

    def beats(self, other: "Facts") -> bool:
        """Whether this recipe is at least as good in every figure, and better in at least one."""
        mine, others = ((facts.file, facts.memory, *facts.times, facts.kl) for facts in (self, other))
        return (
            self.passed
            and mine != others
            and all(math.isfinite(a) and a <= b for a, b in zip(mine, others, strict=True))
        )


@dataclass(frozen=True)
class Fastest:
    """The fastest recipe of one measurement.

    Attributes:
        rivals: recipes whose intervals overlap with the fastest recipe's.
    """

    phase: str
    tokens: int
    threads: int
    recipe: str
    rivals: tuple[str, ...]


@dataclass(frozen=True)
class Summary:
    """The summary of a sweep.

    Attributes:
        smallest: the recipe with the smallest file of those that pass and show no loss; of two equal files,
            the one with the smaller divergence.  None if there is no such recipe.
        fastest: the fastest recipe of each measurement except loading.
        dominated: pairs of a recipe and a recipe that beats it, by medians and means without intervals.
    """

    smallest: str | None
    fastest: tuple[Fastest, ...]
    dominated: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, facts: Sequence[Facts], lines: Sequence[BenchRow]) -> "Summary":
        lossless = [each for each in facts if each.passed and not each.loses]
        return cls(
            min(lossless, key=lambda each: (each.file, each.kl)).recipe if lossless else None,
            tuple(
                _fastest([each.recipe for each in facts], line) for line in lines if line.tokens is not None
            ),
            tuple(_dominated(facts)),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "smallest_without_shown_loss": self.smallest,
            "fastest": [asdict(each) for each in self.fastest],
            "dominated": [{"recipe": recipe, "by": better} for recipe, better in self.dominated],
        }


def _fastest(names: Sequence[str], line: BenchRow) -> Fastest:
    """The fastest recipe of one latency measurement.

    Args:
        names: the names of the recipes.
        line: the measurement, with the speed of the first recipe relative to each of the others.
    """
    speeds = {names[0]: (1.0, 1.0, 1.0)}
    for name, speed in zip(names[1:], line.speeds, strict=True):
        inverse = speed.inverse
        low, high = inverse.interval
        speeds[name] = (
            inverse.ratio.value or 0.0,
            low.value or 0.0,
            math.inf if high.value is None else high.value,  # an unknown bound overlaps with everything
        )
    best = max(names, key=lambda name: speeds[name][0])
    rivals = [name for name in names if name != best and speeds[name][2] >= speeds[best][1]]
    return Fastest(line.phase, line.tokens or 0, line.threads, best, tuple(rivals))


def _dominated(facts: Sequence[Facts]) -> list[tuple[str, str]]:
    undominated = [each for each in facts if not any(other.beats(each) for other in facts)]
    return [
        (each.recipe, next(other.recipe for other in undominated if other.beats(each)))
        for each in facts
        if each not in undominated
    ]
