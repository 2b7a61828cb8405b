"""`nf-edge check`: the accuracy of an artifact and of its checkpoint, and the accuracy gate."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.errors import EXPORT_AGAIN, AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Limits
from nf_edge.measure.accuracy.baseline import Baseline, BaselineReport, baseline_report
from nf_edge.measure.accuracy.bits_per_byte import BitsPerByte, TextScores
from nf_edge.measure.accuracy.compare import Comparison, compare
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.file_predictions import predict_file
from nf_edge.measure.accuracy.journal import Journal
from nf_edge.measure.accuracy.limit_results import LimitResult, limit_results, require_limits
from nf_edge.measure.accuracy.metric_changes import (
    MetricChange,
    main_metric,
    metric_changes,
    metrics_for,
    positive_class,
)
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predict import predict_both
from nf_edge.measure.accuracy.predictions import PairedPredictions
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.measure.accuracy.sample import Sample
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.model.data.sources import name_of

# The fix for each kind of problem.
FIXES = {
    "exceeded": "use a recipe that quantizes less, or allow more (--max-drop, --max-changed, --max-kl)",
    "too few": "give more rows (--data, --limit)",
    "not provable": "raise the limit, or use --limits-on estimate",
    "unknown": "give rows for which the metric is defined, or limit another one (--max-drop METRIC=LOSS)",
    "worse": "ship the earlier artifact, or find the step that loses accuracy (nf-edge check --stages)",
}


@dataclass(frozen=True)
class AccuracyReport(HtmlValue):
    """The accuracy of an artifact and of its checkpoint, with the data and the limits.

    Attributes:
        comparison: the figures of both models.
        metrics: the change of each metric, the main one first; empty without labels.
        limits: each limit, and whether it holds.  Without limits, the artifact fails only if logits are not
            finite.
        data: name of the data.
        data_sha256: hash of the data.
        truncated: number of rows that were cut to the input's length.
        unit: `rows`, or `tokens` of a language model.
        simulated: name of the program that ran in place of a file that this machine cannot run; "" if the
            file itself ran.  An export's report always has "", because the manifest has the name.
        text: bits per byte of a text in windows; None if the data is rows.
        baseline: the comparison with the artifact that shipped last; None if none was given.
        notes: remarks on how the data was read.
        lowered_again: whether lowering the checkpoint again gave the artifact's files; None if this was not
            requested.  An artifact whose files differ fails, whatever its accuracy.
    """

    comparison: Comparison
    metrics: tuple[MetricChange, ...]
    limits: tuple[LimitResult, ...]
    data: str
    data_sha256: str
    truncated: int
    unit: str
    simulated: str = ""
    text: TextScores | None = None
    baseline: BaselineReport | None = None
    notes: tuple[str, ...] = ()
    lowered_again: SameFile | None = None

    @property
    def max_drop(self) -> float | None:
        """The limit on the loss of accuracy, in points; None if there is none."""
        return next((result.limit for result in self.limits if result.name == "accuracy"), None)

    @property
    def loses(self) -> bool:
        """Whether a 95 % interval shows that the artifact is worse than the checkpoint.

        For a regression with labels, it is the interval of the main metric; an unknown interval counts as a
        loss.  For all other reports, `Comparison.loses` decides.
        """
        if self.comparison.drop is not None or not self.metrics:
            return self.comparison.loses
        interval = self.metrics[0].interval
        return interval is None or not interval[0] <= 0

    @property
    def problem(self) -> str:
        """The reason why the artifact fails the gate; "" if it passes."""
        comparison = self.comparison
        if comparison.not_finite:
            problems = [not_finite_text(comparison.not_finite, comparison.questions, self.unit)]
        else:
            problems = [result.problem for result in self.limits]
            problems.append(self.baseline.problem if self.baseline else "")
        problems.append(self.lowered_again.problem if self.lowered_again else "")
        return "; ".join(filter(None, problems))

    @property
    def passed(self) -> bool:
        """Whether no limit or comparison fails; also true if nothing was judged (see `judged`)."""
        return not self.problem

    @property
    def judged(self) -> bool:
        """Whether the gate judges anything: there is a limit, or a baseline to compare with."""
        return bool(self.limits) or self.baseline is not None

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error; None if the artifact passes."""
        return None if self.passed else AccuracyGate(self.problem, fix=remedy(self))

    def with_lowered_again(self, lowered_again: SameFile) -> "AccuracyReport":
        """A copy of this report, which also fails if lowering the checkpoint again gave other files."""
        return replace(self, lowered_again=lowered_again)

    def to_json(self) -> dict[str, Any]:
        divergence = self.comparison.divergence
        changed = divergence.flips if divergence else None
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "truncated_rows": self.truncated,
            "unit": self.unit,
            "max_drop": self.max_drop,
            "passed": self.passed,
            "judged": self.judged,
            **self.comparison.to_json(),
            "metrics": {change.metric.name: change.to_json(changed) for change in self.metrics},
            "limits": [result.to_json() for result in self.limits],
            "text": self.text.to_json() if self.text else None,
            "baseline": self.baseline.to_json() if self.baseline else None,
            "notes": list(self.notes),
        }


def check(
    model: NoiseFormer,
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: PairedRows,
    limits: Limits,
    progress: Progress = silent,
) -> AccuracyReport:
    """Run a checkpoint's network and an artifact on the same rows, and compare their predictions.

    Raises:
        BadInput: predictions or limits cannot be computed for this model and these rows, or the rows do not
            suit the artifact.
    """
    require_checkable(model.config, rows, limits)
    predictions = predict_both(model, artifact, input_shape, rows, progress)
    return report_of(predictions, model.config, rows.reference, limits)


def require_checkable(config: ModelConfig, rows: PairedRows, limits: Limits) -> None:
    """Check, before a model runs, that predictions on the rows can be compared and judged.

    Raises:
        BadInput: as in `check`.
    """
    rows.require_comparable(config)
    require_limits(config, rows, limits)


def check_file(
    runnable: Runnable,
    model: NoiseFormer,
    rows: PairedRows,
    limits: Limits,
    progress: Progress = silent,
    baseline: Baseline | None = None,
    journal: Journal | None = None,
) -> AccuracyReport:
    """Load a model file and `check` it.

    Args:
        journal: the parts that an interrupted check finished; None: nothing is read or saved.
        baseline: the artifact that shipped last, to compare with too; None: no earlier artifact.

    Raises:
        BadInput: as in `check`, or the runtime cannot load the file.
    """
    require_checkable(model.config, rows, limits)
    after = predict_file(runnable, model, rows, progress, journal)
    report = report_of(after, model.config, rows.reference, limits)
    if baseline is not None:
        shipped = baseline.runnable
        before = predict_file(shipped, model, baseline.rows, progress, journal, "baseline")
        names, positive = [change.metric.name for change in report.metrics], positive_class(rows.reference)
        sample = _sample(after, model.config, rows.reference)
        compared = baseline_report(baseline, before, after, model.config.task, names, sample, positive)
        report = replace(report, baseline=compared)
    return replace(report, simulated=runnable.backend.reference_executor)


def report_of(
    predictions: PairedPredictions, config: ModelConfig, rows: Rows, limits: Limits
) -> AccuracyReport:
    """The accuracy report of both models' predictions on `rows`, judged by `limits`."""
    comparison, main = compare(predictions, config.task), main_metric(config)
    changes: tuple[MetricChange, ...] = ()
    if predictions.labelled:
        names = metrics_for(config, rows, [*limits.losses(main)])
        changes = metric_changes(predictions, comparison, names, positive_class(rows))
    sample = _sample(predictions, config, rows)
    text = None
    # On emulated cores, a part of the first window is a prompt, whose tokens are not scored.
    if rows.text is not None and rows.text.scored == comparison.questions:
        sides = (BitsPerByte.of(each, rows.text) for each in (comparison.reference, comparison.artifact))
        text = TextScores(rows.text, *sides)
    return AccuracyReport(
        comparison,
        changes,
        limit_results(limits, main, changes, comparison.divergence, sample),
        name_of(rows.source),
        rows.sha256,
        rows.truncated,
        sample.unit,
        text=text,
        notes=rows.notes,
    )


def _sample(predictions: PairedPredictions, config: ModelConfig, rows: Rows) -> Sample:
    counts = np.unique(predictions.row, return_counts=True)[1].tolist()
    return Sample.of(config, counts, windows=rows.text is not None)


def remedy(report: AccuracyReport) -> str:
    """Advice for an artifact that fails the gate, one phrase per kind of problem; "" if it passes."""
    if report.lowered_again is not None and report.lowered_again.problem:
        return EXPORT_AGAIN
    if report.comparison.not_finite:
        return OVERFLOWS
    kinds = dict.fromkeys(_kind(result) for result in report.limits if not result.passed)
    if report.baseline is not None:
        kinds |= dict.fromkeys(problem.kind for problem in report.baseline.problems)
    return "; ".join(FIXES[kind] for kind in kinds)


def _kind(result: LimitResult) -> str:
    """Why a limit does not hold, as a key of `FIXES`."""
    if result.unknown:
        return "unknown"
    if not result.too_few:
        return "exceeded"
    # No number of rows proves that nothing is lost.
    return "too few" if result.limit or result.on == "estimate" else "not provable"
