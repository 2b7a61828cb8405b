"""The report of a sweep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.artifact import ArtifactFile
from nf_edge.core.errors import AccuracyGate, OverBudget
from nf_edge.core.notebook import HtmlValue
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.latency import LatencyReport
from nf_edge.measure.memory import Verdict
from nf_edge.pipeline.size_ratios import Size
from nf_edge.pipeline.sweep.choose import Skipped
from nf_edge.pipeline.sweep.summary import Summary

# Files next to the artifacts.
JSON, PAGE = "sweep.json", "sweep.html"


@dataclass(frozen=True)
class Compressed:
    """A model by one recipe.

    Attributes:
        model: the model file that was measured.
        path: the artifact; None where it was not kept.
        accuracy: against the checkpoint of the sweep, before any pruning.
        verdict: whether it fits the device; None without a device.
        failure: the error of the first gate that it does not pass.
    """

    recipe: str
    description: str
    model: ArtifactFile
    path: Path | None
    accuracy: AccuracyReport
    verdict: Verdict | None
    failure: OverBudget | AccuracyGate | None

    def to_json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe,
            "description": self.description,
            "model": self.model.model_dump(),
            "path": str(self.path) if self.path else None,
            "accuracy": self.accuracy.to_json(),
            "verdict": self.verdict.to_json() if self.verdict else None,
            "failure": str(self.failure) if self.failure else None,
        }


@dataclass(frozen=True)
class SweepReport(HtmlValue):
    """The first recipe, the baseline, against each other one; tuples of figures have one per recipe.

    Attributes:
        sizes: parameters, file, and the memory of the process, planned and measured.
        skipped: bundled recipes that do not suit.
        memory_machine: the machine that memory was measured on.
        notes: remarks about the figures.
    """

    checkpoint: str
    recipes: tuple[Compressed, ...]
    sizes: tuple[Size, ...]
    memory_machine: str
    latency: LatencyReport
    summary: Summary
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """The error of the first gate that a recipe does not pass."""
        return next((each.failure for each in self.recipes if each.failure), None)

    @property
    def passed(self) -> bool:
        """Whether every recipe passes every gate."""
        return self.failure is None

    def size(self, name: str) -> Size:
        return next(size for size in self.sizes if size.name == name)

    def to_json(self) -> dict[str, Any]:
        # The recipes list the artifacts, which may be temporary.
        latency = self.latency.to_json()
        del latency["artifacts"]
        return {
            "checkpoint": self.checkpoint,
            "recipes": [each.to_json() for each in self.recipes],
            "sizes": [size.to_json() for size in self.sizes],
            "memory_machine": self.memory_machine,
            "latency": latency,
            "summary": self.summary.to_json(),
            "skipped": [each.to_json() for each in self.skipped],
            "notes": list(self.notes),
        }
