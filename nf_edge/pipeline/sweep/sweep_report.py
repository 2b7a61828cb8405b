"""What came of a sweep."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.artifact import ArtifactFile
from nf_edge.core.errors import AccuracyGate, OverBudget
from nf_edge.core.notebook import Shown
from nf_edge.measure.accuracy.check import AccuracyReport
from nf_edge.measure.latency import LatencyReport
from nf_edge.measure.memory import Verdict
from nf_edge.pipeline.size_ratios import Size
from nf_edge.pipeline.sweep.choose import Skipped
from nf_edge.pipeline.sweep.summary import Summary

# What lies beside the artifacts.
JSON, PAGE = "sweep.json", "sweep.html"


@dataclass(frozen=True)
class Compressed:
    """A model by one recipe.

    Attributes:
        model: the model file that was measured.
        path: where its artifact is; None where it was not kept.
        accuracy: beside the checkpoint that the sweep is of, which the recipe may have made smaller.
        verdict: whether it fits the device; None where none was named.
        failure: the first gate that it did not pass.
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
class SweepReport(Shown):
    """The first recipe, the baseline, beside each of the others; tuples of figures have one of each recipe.

    Attributes:
        sizes: parameters, file, and the memory of the process, planned and measured.
        skipped: bundled recipes that do not suit.
        memory_machine: where the memory of the processes was measured.
        notes: what to know before the figures are compared.
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
        """The first gate that a recipe did not pass."""
        return next((each.failure for each in self.recipes if each.failure), None)

    @property
    def passed(self) -> bool:
        """Whether every recipe passed every gate."""
        return self.failure is None

    def size(self, name: str) -> Size:
        return next(size for size in self.sizes if size.name == name)

    def to_json(self) -> dict[str, Any]:
        # Its artifacts are those of the recipes, and may be gone.
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
