"""Compare an artifact with the one that shipped last, on the same rows: is it significantly worse?

The comparison also fails if the rows are too few to show a regression.  The difference of a metric has a
95 % interval, and half of its width must be at most 5 points.  For the perplexity the limit is 5 % of the
shipped artifact's perplexity; for the mean squared error, 5 % of the labels' variance.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nf_edge.backends.runnable import Runnable
from nf_edge.core.errors import BadInput
from nf_edge.core.metrics import METRICS, MetricName
from nf_edge.measure.accuracy.compare import compare
from nf_edge.measure.accuracy.divergence import not_finite_text
from nf_edge.measure.accuracy.metric_changes import MetricChange, metric_changes
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions
from nf_edge.measure.accuracy.sample import Sample
from nf_edge.model.config import Task

# Without labels, an answer is right if it is the checkpoint's.
AGREEMENT = replace(METRICS["accuracy"], title="agreement with the checkpoint")
# The largest accepted half-width of a loss's interval: in points, or for the perplexity in percent.  For the
# mean squared error, it is in percent of the labels' variance.
MOST_NOISE = 5


@dataclass(frozen=True)
class Baseline:
    """The artifact that shipped last.

    Attributes:
        name: the name of its folder.
        rows: the rows of the check, encoded for the earlier artifact.
    """

    name: str
    runnable: Runnable
    rows: PairedRows


@dataclass(frozen=True)
class Problem:
    """The reason why a metric fails the comparison.

    Attributes:
        kind: whether the metric is worse, its loss is unknown, or the rows are too few to show a regression.
    """

    kind: Literal["worse", "unknown", "too few"]
    text: str


@dataclass(frozen=True)
class BaselineReport:
    """The losses of the new artifact against the artifact that shipped last.

    Attributes:
        name: the name of the earlier artifact.
        changes: the change of each metric from the earlier artifact to the new one.  Without labels, the only
            metric is the share of answers that equal the checkpoint's.
        problems: the reasons why the comparison fails; empty if it passes.
    """

    name: str
    changes: tuple[MetricChange, ...]
    problems: tuple[Problem, ...]

    @property
    def problem(self) -> str:
        """The reasons why the comparison fails, in one text; "" if it passes."""
        return "; ".join(each.text for each in self.problems)

    @property
    def passed(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        return {
            "artifact": self.name,
            "passed": self.passed,
            "metrics": {change.metric.name: change.to_json(None) for change in self.changes},
        }


def baseline_report(
    baseline: Baseline,
    before: PairedPredictions,
    after: PairedPredictions,
    task: Task,
    metrics: Sequence[MetricName],
    sample: Sample,
    positive: int = 1,
) -> BaselineReport:
    """Compare the predictions of the new artifact with those of the earlier one.

    Args:
        before: predictions of the checkpoint, paired with those of the earlier artifact.
        after: predictions of the checkpoint, paired with those of the new artifact.
        metrics: the metrics to compare if the rows have labels.
        sample: the number of rows and predictions.
        positive: the class that counts as positive for `f1`.

    Raises:
        BadInput: logits of the earlier artifact are not finite.
    """
    if count := int(before.artifact.not_finite.sum()):
        text = not_finite_text(count, len(before.row), "predictions")
        raise BadInput(
            text, where=baseline.name, fix="give an earlier artifact whose logits are finite as the baseline"
        )
    unknown = np.full(len(after.row), np.nan)
    pair = PairedPredictions(after.row, after.truth, before.artifact, after.artifact, unknown)
    if not after.labelled:
        pair = replace(pair, truth=after.reference.predicted)
    names: Sequence[MetricName] = metrics if after.labelled else ["accuracy"]
    changes = metric_changes(pair, compare(pair, task), names, positive)
    if not after.labelled:
        changes = tuple(replace(change, metric=AGREEMENT) for change in changes)
    problems = (_problem(change, pair.truth, sample, baseline.name) for change in changes)
    return BaselineReport(baseline.name, changes, tuple(filter(None, problems)))


def _problem(change: MetricChange, truth: np.ndarray, sample: Sample, name: str) -> Problem | None:
    """The reason why a metric fails: it is worse or unknown, or the rows are too few; None if it passes.

    Args:
        truth: the true label or token of each prediction.
        sample: the number of rows and predictions.
        name: the name of the earlier artifact, for the message.
    """
    title, unit, interval = change.metric.title, change.metric.unit, change.interval
    constant = "all rows have the same label" if change.metric.name == "mse" and not np.ptp(truth) else ""
    if unknown := change.unknown or constant:
        return Problem("unknown", f"{title} cannot be compared with {name}: {unknown}")
    most = MOST_NOISE * (float(np.var(truth)) / 100 if change.metric.name == "mse" else 1)
    what = f"the change of {title} to within ±{most:.3g} {unit}"
    if interval is None:
        few = sample.too_few(what) or f"{title} has no interval on these {sample.row_unit}; give more of them"
        return Problem("too few", few)
    low, high = interval
    if not low <= 0:
        by = f"{change.loss:.4g} {unit} (95 % interval {low:.4g} to {high:.4g})"
        return Problem("worse", f"{title} is worse than that of {name} by {by}")
    # The width of an interval shrinks with the square root of the number of rows.
    half = (high - low) / 2
    needed = 0 if half <= most else math.ceil(sample.rows * (half / most) ** 2)
    few = sample.too_few(what, needed, of_rows=True, about=True)
    return Problem("too few", few) if few else None
