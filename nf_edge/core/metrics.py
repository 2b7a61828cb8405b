"""The metrics of accuracy: one table with names, functions, units and directions.

scikit-learn and SciPy compute the values.  They are imported only when a metric is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:
    import numpy as np

MetricName = Literal[
    "accuracy",
    "f1",
    "matthews",
    "pearson",
    "spearman",
    "mse",
    "f1_micro",
    "f1_macro",
    "perplexity",
]
# The unit of a loss: points are hundredths of a share or of a correlation; percent are of the checkpoint's
# value.
LossUnit = Literal["points", "percent", "squared error"]
CLASSES, SEVERAL, NUMBER, LANGUAGE = (
    "classification",
    "multi-label classification",
    "regression",
    "language modelling",
)


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: the name in recipes, options and reports.
        title: the name in sentences and tables, such as "accuracy".
        unit: the unit of a loss and of a limit.
        higher_is_better: whether a larger value is better.
        tasks: the tasks of the models that the metric can measure.
        function: computes the value from truth and predictions: int64 [N] for a classifier, int64 [N, L] of
            zeros and ones for a multi-label classifier, float64 [N] for a regression.  None if a `Comparison`
            has the value.
    """

    name: MetricName
    title: str
    unit: LossUnit
    higher_is_better: bool
    tasks: tuple[str, ...]
    function: Callable[[np.ndarray, np.ndarray], float] | None

    @property
    def most_loss(self) -> float:
        """The largest possible loss in points: 200 for a correlation, which ranges from −1 to 1; else 100."""
        return 200 if self.name in ("matthews", "pearson", "spearman") else 100

    def loss(self, reference: Any, artifact: Any) -> Any:
        """The loss in `unit`, from the metric's value `reference` to its value `artifact`; positive is worse.

        Both are numbers, or arrays of equal shape.
        """
        if self.unit == "percent":
            return 100 * (artifact / reference - 1)
        worse = reference - artifact if self.higher_is_better else artifact - reference
        return 100 * worse if self.unit == "points" else worse


def _f1(average: str) -> Callable[[np.ndarray, np.ndarray], float]:
    def f1(truth: np.ndarray, predicted: np.ndarray) -> float:
        from sklearn.metrics import f1_score

        return float(f1_score(truth, predicted, average=average, zero_division=0))

    return f1


def _matthews(truth: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(truth, predicted))


def _pearson(truth: np.ndarray, predicted: np.ndarray) -> float:
    from scipy.stats import pearsonr

    return float(pearsonr(truth, predicted).statistic)


def _spearman(truth: np.ndarray, predicted: np.ndarray) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(truth, predicted).statistic)


def _mse(truth: np.ndarray, predicted: np.ndarray) -> float:
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(truth, predicted))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "points", True, (CLASSES, SEVERAL, LANGUAGE), None),
        Metric("f1", "F1 of class 1", "points", True, (CLASSES,), _f1("binary")),
        Metric("matthews", "Matthews correlation", "points", True, (CLASSES,), _matthews),
        Metric("pearson", "Pearson correlation", "points", True, (NUMBER,), _pearson),
        Metric("spearman", "Spearman correlation", "points", True, (NUMBER,), _spearman),
        Metric("mse", "mean squared error", "squared error", False, (NUMBER,), _mse),
        Metric("f1_micro", "micro F1", "points", True, (CLASSES, SEVERAL), _f1("micro")),
        Metric("f1_macro", "macro F1", "points", True, (CLASSES, SEVERAL), _f1("macro")),
        Metric("perplexity", "perplexity", "percent", False, (LANGUAGE,), None),
    )
}
assert tuple(METRICS) == get_args(MetricName)

# The default metrics of a task.  A limit that names no metric applies to the first one.
DEFAULTS: dict[str, tuple[MetricName, ...]] = {
    CLASSES: ("accuracy",),
    NUMBER: ("pearson", "spearman", "mse"),
    SEVERAL: ("f1_micro", "f1_macro"),
    LANGUAGE: ("accuracy", "perplexity"),
}
