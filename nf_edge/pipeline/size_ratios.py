"""Sizes of several exports: parameters, files and memory, and ratios to the first export."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nf_edge.core.figures import Figure
from nf_edge.measure.memory import MemoryReport
from nf_edge.pipeline.export import Export


@dataclass(frozen=True)
class Size:
    """One kind of size, such as file bytes: its figure for every export, and ratios between exports.

    Attributes:
        ratios: the first export's figure / the figure of each other export.
    """

    name: str
    figures: tuple[Figure, ...]
    ratios: tuple[Figure, ...]

    @classmethod
    def of(cls, name: str, figures: Sequence[Figure]) -> "Size":
        first, *others = figures
        return cls(name, tuple(figures), tuple(_ratio(first, other) for other in others))

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "figures": [figure.to_json() for figure in self.figures],
            "ratios": [ratio.to_json() for ratio in self.ratios],
        }


def parameters(result: Export) -> Figure:
    return Figure(result.manifest.checkpoint.parameters, "count", "measured", "in the checkpoint")


def file(result: Export) -> Figure:
    return Figure(result.manifest.model.bytes, "bytes", "measured", "the model file")


def process(memories: Sequence[MemoryReport]) -> list[Figure]:
    """The memory of each export's process at its largest input, as figures of one kind.

    The kind is the first one of which all figures are known: measured, planned, or predicted.
    """
    for how in ("measured", "planned", "predicted"):
        figures = [memory.process_total.figures()[how] for memory in memories]
        if all(figure.value is not None for figure in figures):
            break
    return figures


def _ratio(first: Figure, other: Figure) -> Figure:
    if first.value is None or not other.value:
        return Figure.unavailable("ratio", first.note or other.note or "there is nothing to divide by")
    return Figure(first.value / other.value, "ratio", first.how, "the first / the other")
