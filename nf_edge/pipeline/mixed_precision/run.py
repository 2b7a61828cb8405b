"""`sensitivity`: the cost of quantizing each unit, and with a target the recipe file that meets it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.core.errors import AccuracyGate, OverBudget
from nf_edge.core.files import write_text
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.pipeline.mixed_precision.candidates import SearchResult
from nf_edge.pipeline.mixed_precision.choice import SearchTarget
from nf_edge.pipeline.mixed_precision.recipe import as_yaml
from nf_edge.pipeline.mixed_precision.search import search
from nf_edge.pipeline.mixed_precision.sensitivity import Sensitivity, SensitivityJob, sensitivity
from nf_edge.render.sensitivity import recipe_comments


@dataclass(frozen=True)
class SensitivityReport(HtmlValue):
    """The costs of all units, and with a target the recipe that meets it.

    Attributes:
        mix: the result of the search; None without a target.
        path: the recipe file that was written; None where none was.
    """

    sensitivity: Sensitivity
    mix: SearchResult | None
    path: Path | None

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """The error of the gate where the target is not met."""
        return self.mix.failure if self.mix else None

    @property
    def passed(self) -> bool:
        """Whether there is a target, and it is met."""
        return self.mix is not None and self.failure is None

    def to_json(self) -> dict[str, Any]:
        mix = None
        if self.mix is not None:
            mix = self.mix.to_json() | {"recipe": str(self.path) if self.path else None}
        return self.sensitivity.to_json() | {"mix": mix}


def run(
    job: SensitivityJob,
    target: SearchTarget | None,
    out: Path | None,
    *,
    overwrite: bool = False,
    progress: Progress = silent,
) -> SensitivityReport:
    """Measure the sensitivity of each unit, and search a recipe that meets a target.

    Args:
        target: None: only the sensitivity is measured.
        out: the recipe file, which is written if the target is met; its name is that of the recipe.

    Raises:
        BadInput: as `sensitivity` does, or the file cannot be written.
    """
    if out is not None:
        _ = job.checkpoint.identity  # named in the file, and hashed before the work
    costs = sensitivity(job, progress)
    if target is None or out is None:
        return SensitivityReport(costs, None, None)
    result = search(job, costs, target, out.stem, progress)
    if result.met:
        comments = recipe_comments(result, costs, job.checkpoint)
        write_text(out, as_yaml(result.best.recipe, comments), overwrite=overwrite)
    return SensitivityReport(costs, result, out if result.met else None)
