"""`sensitivity`: measure the cost of quantizing each unit, and write a recipe file that meets a target."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.core.errors import AccuracyGate, BadInput, OverBudget
from nf_edge.core.files import write_text
from nf_edge.core.intervals import rows_to_resolve
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.sample import Sample
from nf_edge.pipeline.mixed_precision.candidates import SearchResult
from nf_edge.pipeline.mixed_precision.choice import SearchTarget
from nf_edge.pipeline.mixed_precision.costs import Sensitivity
from nf_edge.pipeline.mixed_precision.recipe import as_yaml
from nf_edge.pipeline.mixed_precision.search import search
from nf_edge.pipeline.mixed_precision.sensitivity import SensitivityJob, sensitivity
from nf_edge.render.sensitivity import recipe_comments


@dataclass(frozen=True)
class SensitivityReport(HtmlValue):
    """The costs of all units; with a target, also the result of the search.

    Attributes:
        mix: the result of the search; None without a target.
        path: the written recipe file; None if none was written.
    """

    sensitivity: Sensitivity
    mix: SearchResult | None
    path: Path | None

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """The error of the gate if the target is not met; None if it is met or not given."""
        return self.mix.failure if self.mix else None

    @property
    def passed(self) -> bool:
        """Whether there is a target, and the search found a recipe that meets it."""
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
    """Measure the sensitivity of each unit; with a target, search for a recipe that meets it.

    Args:
        target: None: only measure the sensitivity.
        out: the recipe file, which is written if the target is met; its name is also the recipe's name.

    Raises:
        BadInput: the recipe or the rows do not suit the checkpoint, or its logits are not finite.  Also if
            the rows are too few for the target, or `out` cannot be written.
    """
    if out is not None:
        # The recipe file has the checkpoint's hash; compute it before the files can change.
        _ = job.checkpoint.identity
    if target is not None:
        _require_resolvable(target, job)
    costs = sensitivity(job, progress)
    if target is None or out is None:
        return SensitivityReport(costs, None, None)
    result = search(job, costs, target, out.stem, progress)
    if result.met:
        comments = recipe_comments(result, costs, job.checkpoint)
        write_text(out, as_yaml(result.best.recipe, comments), overwrite=overwrite)
    return SensitivityReport(costs, result, out if result.met else None)


def _require_resolvable(target: SearchTarget, job: SensitivityJob) -> None:
    """Check before the work that the rows can show whether a target is met.

    Raises:
        BadInput: the rows are too few.
    """
    if target.of == "size":
        return
    config, rows = job.checkpoint.config, job.rows.rows
    sample = Sample.of(config, (len(row.input_ids) - 1 if config.is_language_model else 1 for row in rows))
    if target.of == "drop":
        needed = rows_to_resolve(target.most / 100, on_interval=False)
        few = sample.too_few(f"a drop of {target.most:g} points", needed)
    else:
        few = sample.too_few(f"a KL divergence of {target.most:g} nats")
    if few:
        raise BadInput(few, where=job.rows.source, fix="give more rows (--data, --limit)")
