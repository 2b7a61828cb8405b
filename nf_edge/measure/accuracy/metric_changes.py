"""The change of each metric from a checkpoint to an artifact, on the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nf_edge.core.intervals import mcnemar, no_change
from nf_edge.core.metrics import DEFAULTS, METRICS, Metric, MetricName
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.measure.accuracy.predictions import PairedPredictions
from nf_edge.measure.accuracy.resampling import loss_interval
from nf_edge.model import ModelConfig
from nf_edge.model.data.rows import Rows


@dataclass(frozen=True)
class MetricChange:
    """A metric of the reference and of the artifact, and the loss.

    Attributes:
        reference, artifact: the metric's values; None if unknown.
        loss: in the metric's `unit`, positive if the artifact is worse; None if unknown.
        interval: 95 % interval of the loss; None if there is none.
        rows: N, if one changed prediction changes the metric by about 1 / N; else None.
        p_value: McNemar's p-value that both models are equally accurate (`intervals.mcnemar`).  Only for
            accuracy with one prediction per row; else None.
        unknown: the reason why the loss is unknown; "" if it is known.
    """

    metric: Metric
    reference: float | None
    artifact: float | None
    loss: float | None
    interval: tuple[float, float] | None
    rows: int | None = None
    p_value: float | None = None
    unknown: str = ""

    def to_json(self, changed: int | None) -> dict[str, Any]:
        return {
            "reference": number(self.reference),
            "artifact": number(self.artifact),
            "loss": number(self.loss),
            "loss_interval": self.interval,
            "unit": self.metric.unit,
            "p_value": self.p_value,
            "changed": changed,
            "unknown": self.unknown or None,
        }


def metric_problem(metric: Metric, config: ModelConfig) -> str:
    """The reason why a metric does not suit a model; "" if it does."""
    if config.task not in metric.tasks:
        tasks = " or ".join(metric.tasks)
        return f"{metric.name} is a metric of {tasks}, but the model is a {config.kind}"
    if metric.name == "f1" and config.num_labels != 2:
        return f"f1 needs a classifier of 2 labels, but the model is a {config.kind}; use f1_macro"
    return ""


def main_metric(config: ModelConfig) -> MetricName:
    """The model's default metric, to which a limit without a metric's name applies."""
    return DEFAULTS[config.task][0]


def metrics_for(config: ModelConfig, rows: Rows, limited: Sequence[MetricName]) -> list[MetricName]:
    """The names of the metrics to compute.

    They are, in this order: the official metrics of the rows' GLUE task, the model's default metrics, and
    other metrics with a limit.  A model that is not a classifier gets the default metrics only without an
    official one.
    """
    official = rows.task.metrics if rows.task else ()
    names: list[MetricName] = [name for name in official if not metric_problem(METRICS[name], config)]
    if not names or config.task == "classification":
        names += DEFAULTS[config.task]
    return list(dict.fromkeys([*names, *limited]))


def metric_changes(
    predictions: PairedPredictions, comparison: Comparison, names: Sequence[MetricName], positive: int = 1
) -> tuple[MetricChange, ...]:
    """The change of each metric in `names`, in this order.

    Args:
        positive: the class that counts as positive for `f1`.
    """
    return tuple(_change(METRICS[name], predictions, comparison, positive) for name in names)


def positive_class(rows: Rows) -> int:
    """The class that counts as positive for `f1`: the class of label 1 in a GLUE task with two labels; else
    1.
    """
    return rows.task_classes[1] if len(rows.task_classes) == 2 else 1


def _change(
    metric: Metric, predictions: PairedPredictions, comparison: Comparison, positive: int
) -> MetricChange:
    if metric.name == "perplexity":
        return _perplexity(metric, comparison)
    if metric.name == "accuracy":
        return _accuracy(metric, predictions, comparison)
    if comparison.not_finite:
        reason = f"{comparison.not_finite:,} predictions of the artifact are not finite"
        return MetricChange(metric, None, None, None, None, unknown=reason)
    truth, before, after = predictions.truth, predictions.reference.predicted, predictions.artifact.predicted
    if metric.name == "f1" and positive == 0:
        truth, before, after = 1 - truth, 1 - before, 1 - after
    reasons = [_undefined(metric, truth, predicted) for predicted in (before, after)]
    reference, artifact = (
        None if reason or metric.function is None else metric.function(truth, predicted)
        for reason, predicted in zip(reasons, (before, after), strict=True)
    )
    if reference is None or artifact is None:
        reason = "; ".join(dict.fromkeys(filter(None, reasons)))
        return MetricChange(metric, reference, artifact, None, None, unknown=reason)
    loss, counting = float(metric.loss(reference, artifact)), _counting_rows(metric, truth)
    interval = loss_interval(metric, truth, before, after)
    if interval is not None and counting is not None:
        # A bootstrap knows only the changes that it has: without any, its interval has no width.
        least = 100 * no_change(counting)
        most = metric.most_loss
        interval = max(-most, min(interval[0], loss - least)), min(most, max(interval[1], loss + least))
    return MetricChange(metric, reference, artifact, loss, interval, counting)


def _accuracy(metric: Metric, predictions: PairedPredictions, comparison: Comparison) -> MetricChange:
    """The change of the accuracy; it has a p-value if each row has one prediction."""
    values = comparison.reference.share, comparison.artifact.share
    p_value, texts = None, len(np.unique(predictions.row))
    independent = texts == len(predictions.row)
    if independent and comparison.lost is not None and comparison.gained is not None:
        p_value = mcnemar(comparison.lost, comparison.gained)
    rows = comparison.questions
    # The tokens of a single text depend on each other, so they give no interval.
    interval = comparison.drop_interval if independent or texts > 1 else None
    return MetricChange(metric, *values, comparison.drop, interval, rows, p_value)


def _perplexity(metric: Metric, comparison: Comparison) -> MetricChange:
    values, ratio = (
        (comparison.reference.perplexity, comparison.artifact.perplexity),
        number(comparison.perplexity_ratio),
    )
    if ratio is None:
        return MetricChange(metric, *values, None, None, unknown="the perplexity is not finite")
    bounds = comparison.perplexity_ratio_interval
    interval = (100 * (bounds[0] - 1), 100 * (bounds[1] - 1)) if bounds else None
    return MetricChange(metric, *values, 100 * (ratio - 1), interval)


def _undefined(metric: Metric, truth: np.ndarray, predicted: np.ndarray) -> str:
    """The reason why a metric is undefined for these labels and predictions; "" if it is defined."""
    if metric.name in ("pearson", "spearman"):
        if np.ptp(truth) == 0:
            return "all rows have the same label"
        return "all predictions are equal" if np.ptp(predicted) == 0 else ""
    if truth.ndim == 2:
        return "" if truth.any() else "no row has a label that is true"
    if metric.name in ("f1", "f1_macro", "matthews") and np.ptp(truth) == 0:
        return "all rows have the same label"
    return "all predictions are equal" if metric.name == "matthews" and np.ptp(predicted) == 0 else ""


def _counting_rows(metric: Metric, truth: np.ndarray) -> int | None:
    """N, if one changed prediction changes the metric by about 1 / N; else None.

    F1 and the Matthews correlation depend most on the rarer of two classes.  If this class has M rows, N is
    2M.  For other metrics in points, N is the number of labels in `truth`.
    """
    if metric.unit != "points":
        return None
    classes = np.unique(truth, return_counts=True)[1]
    if metric.name in ("f1", "matthews") and len(classes) == 2:
        return 2 * int(classes.min())
    return len(truth)
