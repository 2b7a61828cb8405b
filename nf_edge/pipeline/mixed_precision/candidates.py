"""Values of a mixed-precision search: its candidates and its result."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from nf_edge.core.errors import AccuracyGate, OverBudget
from nf_edge.core.figures import format_bytes
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.pipeline.mixed_precision.choice import SearchTarget, SizeAndLoss
from nf_edge.quantization.layer_report import LayerReport


@dataclass(frozen=True)
class Candidate:
    """A recipe, the prediction for it, and the measurement of its artifact.

    A mixture gives modules different precisions; a uniform recipe has one precision for all.

    Attributes:
        uniform: the label of a uniform recipe (see `Uniform`); None for a mixture.
        chosen: the dtype of each unit in words, by the unit's name.  A unit is one or more modules that are
            quantized together.
        summed: sum of the costs of all units, each measured alone, in nats; None if uniform.
        predicted_bytes: predicted size of the model file.
        simulated: the predictions simulated in PyTorch, compared with the checkpoint's; None if uniform.
        bytes: size of the artifact's model file.
        measured: the artifact's predictions, compared with the checkpoint's.
    """

    recipe: Recipe
    uniform: str | None
    chosen: Mapping[str, str]
    layer_reports: tuple[LayerReport, ...]
    summed: float | None
    predicted_bytes: int
    simulated: Comparison | None
    bytes: int
    measured: Comparison

    def meets(self, target: SearchTarget) -> bool:
        return self.point(target).meets(target)

    def point(self, target: SearchTarget) -> SizeAndLoss:
        """The file's size, its loss as `target` measures it, and its KL divergence in nats.

        The search compares candidates by these.  Logits that are not finite give an infinite divergence.
        """
        kl = inf if self.measured.not_finite else self.measured.kl
        return SizeAndLoss(self.bytes, loss(self.measured, target), kl)

    def to_json(self) -> dict[str, Any]:
        predicted = {
            "file_bytes": self.predicted_bytes,
            "kl_summed": self.summed,
            "kl": number(self.simulated.kl) if self.simulated else None,
            "drop": self.simulated.drop if self.simulated else None,
        }
        return {
            "uniform": self.uniform,
            "chosen": dict(self.chosen),
            "quantization": [layer_report.to_json() for layer_report in self.layer_reports],
            "predicted": predicted,
            "measured": {"file_bytes": self.bytes, **self.measured.to_json()},
        }


def loss(comparison: Comparison, target: SearchTarget) -> float:
    """The drop of accuracy in points if the target limits it, otherwise the KL divergence in nats.

    The loss is infinite if a prediction is not finite.
    """
    if comparison.not_finite:
        return inf
    if target.of != "drop":
        return comparison.kl
    return inf if comparison.drop is None else comparison.drop


@dataclass(frozen=True)
class Unmade:
    """A uniform recipe that was not exported, and the reason."""

    uniform: str
    reason: str


@dataclass(frozen=True)
class SearchResult:
    """The result of a search.

    Attributes:
        best: the best recipe that meets the target; if none does, the recipe that comes closest.
        made: number of exported artifacts.
        uniform: candidates with one precision for all modules.
        not_made: uniform recipes that were not exported.
    """

    target: SearchTarget
    met: bool
    best: Candidate
    made: int
    uniform: tuple[Candidate, ...]
    not_made: tuple[Unmade, ...]

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """The error of the gate, with the figures of the best recipe; None if the target is met."""
        if self.met:
            return None
        best, most = self.best, self.target.most
        if lost := best.measured.not_finite:
            text = not_finite_text(lost, best.measured.artifact.total, "answers")
            what = f"with the best recipe that was tried, {text}; no recipe was written"
            return AccuracyGate(what, fix=OVERFLOWS)
        if self.target.of == "size":
            return OverBudget(
                f"the smallest model file that could be made takes {format_bytes(best.bytes)}, but the "
                f"limit is {format_bytes(most)}; no recipe was written",
                fix="raise the limit, start from a recipe with fewer bits or larger groups, or prune the "
                "checkpoint (nf-edge compress)",
            )
        if self.target.of == "kl":
            least = f"has a KL divergence of {best.measured.kl:.4g} nats"
        else:
            least = f"loses {best.measured.drop:.2f} points"
        return AccuracyGate(
            f"the best recipe that was tried {least}, but the limit is {most:g}; no recipe was written",
            fix="raise the limit, or start from a recipe that quantizes activations less",
        )

    def to_json(self) -> dict[str, Any]:
        target = {"of": self.target.of, "most": self.target.most}
        result = {"target": target, "met": self.met, "artifacts_made": self.made, **self.best.to_json()}
        uniform: list[dict[str, Any]] = [
            {
                "recipe": each.uniform,
                "file_bytes": each.bytes,
                "kl": number(each.measured.kl),
                "drop": each.measured.drop,
                "met": each.meets(self.target),
            }
            for each in self.uniform
        ]
        uniform += [{"recipe": each.uniform, "not_made": each.reason} for each in self.not_made]
        return result | {"uniform_recipes": uniform}
