"""Compare an artifact with the one that shipped last, on the same rows: is it significantly worse?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nf_edge.backends.runnable import Runnable
from nf_edge.core.errors import BadInput
from nf_edge.core.metrics import METRICS, MetricName
from nf_edge.measure.accuracy.compare import compare
from nf_edge.measure.accuracy.divergence import not_finite_text
from nf_edge.measure.accuracy.metric_changes import MetricChange, metric_changes
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions
from nf_edge.model.config import Task

# Without labels, an answer is right if it is the checkpoint's.
AGREEMENT = replace(METRICS["accuracy"], title="agreement with the checkpoint")


@dataclass(frozen=True)
class Baseline:
    """The artifact that shipped last.

    Attributes:
        name: the name of its folder.
        rows: the rows that the new artifact is checked on, in the tokens of this earlier artifact.
    """

    name: str
    runnable: Runnable
    rows: PairedRows


@dataclass(frozen=True)
class BaselineReport:
    """The metrics of the artifact that shipped last, and what the new one loses.

    Attributes:
        name: the name of the earlier artifact.
        changes: the change of each metric from the earlier artifact to the new one.  Without labels, the
            only metric is the share of answers that equal the checkpoint's.
    """

    name: str
    changes: tuple[MetricChange, ...]

    @property
    def problem(self) -> str:
        """The metrics that are worse by their 95 % interval, and the metrics without an interval.

        "" if there are no such metrics.
        """
        return "; ".join(self._problems())

    def _problems(self) -> Iterator[str]:
        for change in self.changes:
            name = change.metric.title
            if change.unknown or change.interval is None:
                reason = change.unknown or "the rows are too few for an interval"
                yield f"whether {name} is worse than that of {self.name} is unknown: {reason}"
            elif not change.interval[0] <= 0:
                low, high = change.interval
                yield (
                    f"{name} is worse than that of {self.name} by {change.loss:.4g} {change.metric.unit} "
                    f"(95 % interval {low:.4g} to {high:.4g})"
                )

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
    positive: int = 1,
) -> BaselineReport:
    """Compare the predictions of two artifacts.

    Args:
        before: the predictions of the checkpoint and of the earlier artifact.
        after: the predictions of the checkpoint and of the new artifact.
        metrics: the metrics to compare, if the rows have labels.
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
    return BaselineReport(baseline.name, changes)
