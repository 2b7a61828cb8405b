"""The report of a sweep: the figures of each recipe, and comparisons with the first."""

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

# Files that are written next to the artifacts.
JSON, PAGE = "sweep.json", "sweep.html"


@dataclass(frozen=True)
class Compressed:
    """One recipe of the sweep, and its results.

    Attributes:
        model: the measured model file.
        path: the artifact; None if it was temporary.
        accuracy: accuracy of the artifact against the checkpoint before any pruning.
        verdict: whether the artifact fits the device; None without a device.
        failure: the error of the first failed gate; None if all gates pass.
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
    """The comparison of the first recipe (the baseline) with each of the others.

    A tuple of figures has one figure per recipe.

    Attributes:
        sizes: number of parameters, size of the file, planned memory and measured memory of the process.
        skipped: bundled recipes that do not suit the checkpoint.
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
        """The error of the first gate that a recipe fails; None if all pass."""
        return next((each.failure for each in self.recipes if each.failure), None)

    @property
    def passed(self) -> bool:
        """Whether the artifacts of all recipes pass all gates: the memory budget and the accuracy limits."""
        return self.failure is None

    def size(self, name: str) -> Size:
        return next(size for size in self.sizes if size.name == name)

    def to_json(self) -> dict[str, Any]:
        # `artifacts` may list temporary paths; each recipe's entry has its `path` instead.
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
