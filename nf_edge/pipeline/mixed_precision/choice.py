"""Choose the best artifact for a target: a file size, or a loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Literal


@dataclass(frozen=True)
class SearchTarget:
    """The limit that a recipe must meet.

    Attributes:
        of: the limited figure: `size`, of the model file in bytes; `kl`, in nats; or `drop`, of accuracy in
            points.
        most: the largest accepted value of the limited figure.
    """

    of: Literal["size", "kl", "drop"]
    most: float


@dataclass(frozen=True)
class SizeAndLoss:
    """The figures that decide the choice.

    Attributes:
        bytes: size of the model file.
        loss: drop of accuracy in points if the target limits it, otherwise the same as `kl`.
        kl: KL divergence in nats.
    """

    bytes: int
    loss: float
    kl: float

    def meets(self, target: SearchTarget) -> bool:
        return isfinite(self.kl) and (self.bytes if target.of == "size" else self.loss) <= target.most

    def rank(self, target: SearchTarget) -> tuple[float, ...]:
        """A key that sorts artifacts that meet a target, the best first: least loss, or smallest file."""
        return (self.kl, self.bytes) if target.of == "size" else (self.bytes, self.loss, self.kl)


def choose(points: Sequence[SizeAndLoss], target: SearchTarget) -> tuple[int, bool]:
    """The best artifact for a target.

    Returns:
        The index of the best artifact that meets the target, and True.  If none does: the index of the
        artifact that comes closest, and False.
    """
    met = [place for place, point in enumerate(points) if point.meets(target)]
    if met:
        return min(met, key=lambda place: points[place].rank(target)), True
    places = range(len(points))
    if target.of == "size":
        return min(places, key=lambda place: points[place].bytes), False
    # NaN sorts last.
    return min(places, key=lambda place: (not isfinite(points[place].loss), points[place].loss)), False
