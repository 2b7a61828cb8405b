"""`nf-edge check`: the accuracy of an artifact and of its checkpoint, and the accuracy gate."""

from dataclasses import dataclass, replace
from typing import Any

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.compare import Comparison, compare
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions, predict_both
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.model.data.sources import name_of


@dataclass(frozen=True)
class AccuracyReport(HtmlValue):
    """The accuracy of an artifact and of its checkpoint, with the data and the limit.

    Attributes:
        comparison: the figures of both models.
        data: name of the data.
        data_sha256: hash of the data.
        truncated: number of rows that were cut.
        unit: `rows`, or `tokens` of a language model.
        max_drop: maximum loss of accuracy, in points; None is no limit.
        simulated: name of the program that ran in place of a file that this machine cannot run; "" if the
            file itself ran, or for the report of an export, whose manifest contains the name.
    """

    comparison: Comparison
    data: str
    data_sha256: str
    truncated: int
    unit: str
    max_drop: float | None
    simulated: str = ""

    @property
    def problem(self) -> str:
        """The reason why the artifact fails the gate; "" if it passes."""
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
        """The accuracy gate's error; None if the artifact passes."""
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
    rows: PairedRows,
    max_drop: float | None,
    progress: Progress = silent,
) -> AccuracyReport:
    """Run a checkpoint's network and an artifact on the same rows, and compare their predictions.

    Args:
        max_drop: maximum loss of accuracy, in points; None is no limit.

    Raises:
        BadInput: the model's task has no metric, or the rows do not suit the artifact.
    """
    rows.require_comparable(model.config)
    predictions = predict_both(model, artifact, input_shape, rows, progress)
    return report_of(predictions, model.config, rows.reference, max_drop)


def check_file(
    runnable: Runnable,
    model: NoiseFormer,
    rows: PairedRows,
    max_drop: float | None,
    progress: Progress = silent,
) -> AccuracyReport:
    """Load a model file and `check` it.

    Raises:
        BadInput: as in `check`, or the runtime cannot load the file.
    """
    report = check(model, runnable.load(), runnable.input_shape, rows, max_drop, progress)
    return replace(report, simulated=runnable.backend.reference_executor)


def report_of(
    predictions: PairedPredictions, config: ModelConfig, rows: Rows, max_drop: float | None
) -> AccuracyReport:
    """Make the report from both models' predictions on rows."""
    comparison = compare(predictions, config.is_language_model)
    unit = "tokens" if config.is_language_model else "rows"
    return AccuracyReport(comparison, name_of(rows.source), rows.sha256, rows.truncated, unit, max_drop)


def remedy(report: AccuracyReport) -> str:
    """The fix for a report that does not pass."""
    if report.comparison.not_finite:
        return OVERFLOWS
    return "use a recipe that quantizes less, or allow more with --max-drop"
