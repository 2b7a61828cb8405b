"""Paired bootstrap of a metric's loss: a drawn row brings its label and both models' predictions.

A draw gives each row a number of copies.  With these numbers as weights, a metric is computed for many draws
at once.  scipy.stats.bootstrap would call scikit-learn twice per draw, which takes seconds.  The formulas
below are scikit-learn's and SciPy's for weighted rows; tests compare them.

Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from collections.abc import Callable, Iterator

import numpy as np

from nf_edge.core.limits import LEAST_ROWS
from nf_edge.core.metrics import Metric, MetricName

RESAMPLES = 2000
# Largest number of values in an array of draws, [draws, rows].
MOST_VALUES = 2_000_000
# The largest product of two relative variances that rounding explains.
EQUAL = 1e-24
Weighted = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def loss_interval(
    metric: Metric, truth: np.ndarray, reference: np.ndarray, artifact: np.ndarray, seed: int = 0
) -> tuple[float, float] | None:
    """95 % interval of a metric's loss over N rows, by percentiles of a seeded bootstrap.

    A draw for which the metric is undefined counts as −∞ for the lower end, and as +∞ for the upper end.

    Args:
        truth, reference, artifact: as for `Metric.function`.

    Returns:
        None if there are fewer than `LEAST_ROWS` rows, or if an end is undefined.
    """
    rows = len(truth)
    if rows < LEAST_ROWS:
        return None
    truth, reference, artifact, copies = _distinct(truth, reference, artifact)
    formula, losses = FORMULAS[metric.name], []
    with np.errstate(invalid="ignore", divide="ignore"):
        for counts in _draws(copies, rows, seed):
            before, after = (formula(counts, truth, each) for each in (reference, artifact))
            losses.append(metric.loss(before, after))
    loss = np.concatenate(losses)
    undefined = ~np.isfinite(loss)
    low = float(np.quantile(np.where(undefined, -np.inf, loss), 0.025, method="lower"))
    high = float(np.quantile(np.where(undefined, np.inf, loss), 0.975, method="higher"))
    return (low, high) if np.isfinite([low, high]).all() else None


def _distinct(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """The U distinct rows of columns [N] or [N, L], then the number of copies of each, int64 [U]."""
    table = np.column_stack(columns)
    _, first, copies = np.unique(table, axis=0, return_index=True, return_counts=True)
    return *(column[first] for column in columns), copies


def _draws(copies: np.ndarray, rows: int, seed: int) -> Iterator[np.ndarray]:
    """Yield chunks of B draws, `RESAMPLES` in total: the number of copies of each distinct row, float64 [B,
    U].
    """
    generator, size = np.random.default_rng(seed), max(1, MOST_VALUES // len(copies))
    for start in range(0, RESAMPLES, size):
        number = min(size, RESAMPLES - start)
        yield generator.multinomial(rows, copies / rows, size=number).astype(np.float64)


def _counts(
    weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each draw and class, the weighted numbers of right, predicted and true labels, [B, C] each.

    Args:
        weights: number of copies of each of the U distinct rows in each draw, float64 [B, U].
        truth, predicted: [U], or [U, L] for a multi-label classifier.
    """
    if truth.ndim == 1:
        classes = np.union1d(truth, predicted)
        truth, predicted = (each[:, None] == classes for each in (truth, predicted))
    return weights @ (truth * predicted), weights @ predicted, weights @ truth


def _f1(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    right, of_model, of_truth = _counts(weights, truth[:, None] == 1, predicted[:, None] == 1)
    # Without a row of class 1 the score is undefined.
    total = np.where(of_truth > 0, of_model + of_truth, np.nan)
    return (2 * right / total)[:, 0]


def _f1_micro(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    right, of_model, of_truth = (each.sum(axis=1) for each in _counts(weights, truth, predicted))
    return 2 * right / (of_model + of_truth)


def _f1_macro(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    right, of_model, of_truth = _counts(weights, truth, predicted)
    total = of_model + of_truth
    scores = np.divide(2 * right, total, out=np.zeros_like(total), where=total > 0)
    # scikit-learn leaves out classes that occur nowhere, but keeps labels of a multi-label classifier.
    occur = total > 0 if truth.ndim == 1 else np.ones_like(total)
    mean: np.ndarray = scores.sum(axis=1) / occur.sum(axis=1)
    return mean


def _matthews(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The Matthews correlation of each draw, [B], for any number of classes.

    Source: Gorodkin, Computational Biology and Chemistry 28, 2004.

    Args:
        weights: number of copies of each of the U distinct rows in each draw, float64 [B, U].
        truth, predicted: the true and the predicted class of each distinct row, [U].
    """
    right, of_model, of_truth = _counts(weights, truth, predicted)
    total = weights.sum(axis=1)
    both = right.sum(axis=1) * total - (of_model * of_truth).sum(axis=1)
    spread = [total**2 - (each**2).sum(axis=1) for each in (of_model, of_truth)]
    return both / np.sqrt(spread[0] * spread[1])


def _pearson(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The Pearson correlation of each draw, [B]; values are [U], or [B, U] if they differ between draws.

    Args:
        weights: number of copies of each of the U distinct rows in each draw, float64 [B, U].
        truth, predicted: the true and the predicted number of each distinct row.
    """
    total = weights.sum(axis=1, keepdims=True)
    x, y = (each - (weights * each).sum(axis=1, keepdims=True) / total for each in (truth, predicted))
    covariance, of_x, of_y = ((weights * a * b).sum(axis=1) for a, b in ((x, y), (x, x), (y, y)))
    # Rounding leaves a variance to equal values.
    least = EQUAL * (weights * truth**2).sum(axis=1) * (weights * predicted**2).sum(axis=1)
    return covariance / np.sqrt(np.where(of_x * of_y > least, of_x * of_y, np.nan))


def _spearman(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return _pearson(weights, _ranks(weights, truth), _ranks(weights, predicted))


def _ranks(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """For each draw, the mean rank of the copies of each value among all copies, [B, U].

    Args:
        weights: number of copies of each of the U distinct rows in each draw, float64 [B, U].
    """
    distinct, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(len(distinct)))
    copies = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks: np.ndarray = (copies.cumsum(axis=1) - (copies - 1) / 2)[:, place]
    return ranks


def _mse(weights: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    error: np.ndarray = weights @ (truth - predicted) ** 2 / weights.sum(axis=1)
    return error


# Accuracy and perplexity have intervals of their own (`nf_edge.core.intervals`).
FORMULAS: dict[MetricName, Weighted] = {
    "f1": _f1,
    "matthews": _matthews,
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": _mse,
    "f1_micro": _f1_micro,
    "f1_macro": _f1_macro,
}
