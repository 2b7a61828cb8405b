"""`check`: the accuracy of an artifact beside that of its checkpoint, and the gate."""

from dataclasses import dataclass
from typing import Any

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import AccuracyGate, BadInput
from nf_edge.core.notebook import Shown
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.compare import Comparison, compare
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.predictions import PairedPredictions, predict_both
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.model.data.sources import name_of


@dataclass(frozen=True)
class AccuracyReport(Shown):
    """A comparison, the data that it was made on, and the limit that it is held to.

    Attributes:
        max_drop: accuracy that may be lost, in points; None: no limit.
        simulated: what answered in the place of the file, which nothing here runs; None: the file itself, or
            an export, whose manifest has it.
    """

    comparison: Comparison
    data: str
    data_sha256: str
    truncated: int
    unit: str
    max_drop: float | None
    simulated: str | None = None

    @property
    def problem(self) -> str:
        """Why it does not pass, limit or not; "" where it does."""
        comparison = self.comparison
        if comparison.not_finite:
            return not_finite_text(comparison.not_finite, comparison.artifact.total, self.unit)
        if self.max_drop is not None and not comparison.drop <= self.max_drop:
            return f"accuracy drops by {comparison.drop:.2f} points, more than the {self.max_drop:g} allowed"
        return ""

    @property
    def passed(self) -> bool:
        return not self.problem

    @property
    def failure(self) -> AccuracyGate | None:
        """What the gate says where it does not pass."""
        return None if self.passed else AccuracyGate(self.problem, fix=remedy(self))

    def to_json(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "truncated_rows": self.truncated,
            "unit": self.unit,
            "max_drop": self.max_drop,
            "passed": self.passed,
            **self.comparison.to_json(),
        }


def check(
    model: NoiseFormer,
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: Rows,
    max_drop: float | None,
    progress: Progress = silent,
    *,
    own: Rows | None = None,
) -> AccuracyReport:
    """Ask the checkpoint's network and the artifact the same questions.

    Args:
        own: the same rows in the artifact's tokens, where those are others than the checkpoint's.

    Raises:
        BadInput: there is no metric for the model's task, or the rows do not suit the artifact.
    """
    require_questions(model.config, rows, own)
    answered = predict_both(
        model, artifact, input_shape, rows.rows, (own or rows).rows, progress, source=rows.source
    )
    return report_of(answered, model.config, rows, max_drop)


def require_questions(config: ModelConfig, rows: Rows, own: Rows | None) -> None:
    """Raises BadInput where rows have no questions that both could be asked."""
    if config.task not in ("classification", "language modelling"):
        raise BadInput(
            f"a {config.kind} has no accuracy to check: nf-edge has no metric for its answers",
            where=rows.source,
            fix="export it without --data, which compares its logits with PyTorch's all the same",
        )
    if config.is_language_model and all(len(row.input_ids) < 2 for row in rows.rows):
        raise BadInput("no row has two tokens, so there is no next token to predict", where=rows.source)
    if config.is_language_model and own is not None:
        raise BadInput(
            "the artifact reads text in other tokens than the checkpoint, so they predict different things",
            where=rows.source,
            fix="compare it with the checkpoint that it was exported from",
        )


def report_of(
    answered: PairedPredictions, config: ModelConfig, rows: Rows, max_drop: float | None
) -> AccuracyReport:
    """What both said to the questions of the rows, held to a limit."""
    comparison = compare(answered, config.is_language_model)
    unit = "tokens" if config.is_language_model else "rows"
    return AccuracyReport(comparison, name_of(rows.source), rows.sha256, rows.truncated, unit, max_drop)


def enforce(report: AccuracyReport) -> None:
    """Raises AccuracyGate where the report does not pass."""
    if (failure := report.failure) is not None:
        raise failure


def remedy(report: AccuracyReport) -> str:
    """What to do about a report that does not pass."""
    if report.comparison.not_finite:
        return OVERFLOWS
    return "use a recipe that quantizes less, or allow more with --max-drop"
