"""Confidence intervals of the figures that a user is shown, all at 95 %."""

import math
from collections.abc import Sequence

import numpy as np

# The 97.5 % point of the normal distribution.
Z = 1.959963984540054
RESAMPLES = 2000


def wilson(hits: float, total: float) -> tuple[float, float]:
    """Interval of a share, hits / total (Wilson, JASA 22, 1927)."""
    share = hits / total
    centre = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def paired_difference(lost: float, gained: float, total: float) -> tuple[float, float]:
    """Interval of (lost − gained) / total, of two classifiers asked the same questions.

    The Wald interval with half a case added to each of the four cells (Agresti and Min,
    Statistics in Medicine 24, 2005), which keeps its coverage where few answers differ.

    Args:
        lost: questions that only the first answered right.
        gained: questions that only the second answered right.
    """
    b, c, n = lost + 0.5, gained + 0.5, total + 2
    centre = (b - c) / n
    half = Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return centre - half, centre + half


def exp(value: float) -> float:
    """e to the value; infinite where that is beyond a float64."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def clustered_error(values: np.ndarray, cluster: np.ndarray) -> float | None:
    """Standard error of the mean of values [Q], of which those of one cluster are not independent.

    The linearised variance of a ratio of sums over clusters (Cochran, Sampling Techniques, 1977, section
    6.4): G / (G − 1) · Σ_g (Σ_{q in g} (x_q − mean))² / Q².  Where each value is a cluster of its own that is
    the usual error, s / √Q.  None of a single cluster, and where a value is not finite.

    Args:
        cluster: int64 [Q], the number of each value's cluster.
    """
    _, number = np.unique(cluster, return_inverse=True)
    if number.max() == 0 or not np.isfinite(values).all():
        return None
    sums = np.bincount(number, values - values.mean())
    count = len(sums)
    return math.sqrt(count / (count - 1) * float((sums**2).sum())) / len(values)


def clustered_mean(values: np.ndarray, cluster: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """Mean of values [Q] in G clusters, and its interval by Student's t with G − 1 degrees of freedom.

    Source: Cameron and Miller, Journal of Human Resources 50, 2015.  None of a single cluster, and where a
    value is not finite.
    """
    mean, error = float(values.mean()), clustered_error(values, cluster)
    if error is None:
        return mean, None
    half = _student(len(np.unique(cluster)) - 1) * error
    return mean, (mean - half, mean + half)


def effective_count(values: np.ndarray, cluster: np.ndarray) -> float:
    """How many independent questions tell as much of a mean as values [Q] in clusters do: Q over the design
    effect, the variance of the mean over what it would be if all were independent (Kish, Survey Sampling,
    1965, section 8.2).

    At most Q, which it is where each value is a cluster of its own, where none differs from another, and
    where a single cluster leaves nothing to tell it by.
    """
    clustered = clustered_error(values, cluster)
    independent = clustered_error(values, np.arange(len(values)))
    if not clustered or not independent:
        return len(values)
    return len(values) * min(1.0, (independent / clustered) ** 2)


def _student(freedom: int) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal's (Abramowitz and Stegun, 1964,
    26.7.5): 3 % too low with 2 degrees of freedom, right to 0.2 % from 5 on."""
    terms = (
        (Z**3 + Z) / 4,
        (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96,
        (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384,
    )
    return Z + sum(term / freedom**power for power, term in enumerate(terms, start=1))


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """Interval of median(above) / median(below), of positive values taken in pairs.

    Percentiles of a bootstrap that draws pairs, so that what hit both of a pair stays together (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13); seeded.  It takes the pairs for
    independent: a drift that is slower than all of them is not in it.
    """
    pairs = np.array([above, below])
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=-1)
    low, high = np.quantile(medians[0] / medians[1], (0.025, 0.975))
    return float(low), float(high)
