"""95 % confidence intervals of the figures in reports."""

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
    """Interval of (lost − gained) / total for two classifiers on the same rows.

    It is the Wald interval with half a case added to each of the four cells (Agresti and Min, Statistics in
    Medicine 24, 2005), which keeps its coverage when few predictions differ.

    Args:
        lost: number of rows that only the first classifier predicts right.
        gained: number of rows that only the second classifier predicts right.
    """
    b, c, n = lost + 0.5, gained + 0.5, total + 2
    centre = (b - c) / n
    half = Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    return max(-1.0, centre - half), min(1.0, centre + half)


def mcnemar(lost: int, gained: int) -> float:
    """Mid-p value of McNemar's test of the hypothesis that two classifiers are equally often right.

    Both classifiers predict the same rows.  The value is 1 if both are right about the same rows.  Source:
    Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13, 2013.

    Args:
        lost: number of rows that only the first classifier predicts right.
        gained: number of rows that only the second classifier predicts right.
    """
    from scipy.special import bdtr

    if not lost + gained:
        return 1.0
    fewer, total = min(lost, gained), lost + gained
    at_most = float(bdtr(fewer, total, 0.5))
    exactly = at_most - float(bdtr(fewer - 1, total, 0.5)) if fewer else at_most
    return 1 - exactly / 2 if lost == gained else 2 * at_most - exactly


def rows_to_resolve(share: float, *, on_interval: bool, of_changes: bool = False) -> float:
    """The smallest number of rows that can show whether a limit on a share of the rows holds.

    With this number, one changed row is within the limit.  With `on_interval`, the 95 % interval is also
    within the limit if no row changed.

    Args:
        share: the limit.
        on_interval: whether the limit applies to the bad end of the 95 % interval.
        of_changes: whether the limit is on the share of changed answers, whose interval is `wilson`;
            otherwise it is on the loss of a metric, whose interval is `paired_difference`.

    Returns:
        For a limit of 0: 1, because one row can break it; infinity with `on_interval`, because every interval
        exceeds 0.
    """
    if not on_interval:
        return math.ceil(1 / share - 1e-9) if share else 1
    if not share:
        return math.inf
    one_row = math.ceil(1 / share - 1e-9)
    needed = Z**2 * (1 / share - 1) if of_changes else Z / share - 2
    return max(one_row, math.ceil(needed))


def no_change(rows: float) -> float:
    """The upper bound of `paired_difference` if no row changed; the lower bound is its negative."""
    return paired_difference(0, 0, rows)[1]


def exp(value: float) -> float:
    """e to the power of the value; infinite if the result exceeds float64."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def clustered_error(values: np.ndarray, cluster: np.ndarray) -> float | None:
    """Standard error of the mean of values [Q] that depend on each other within G clusters.

    Its square is the linearised variance of a ratio of sums over clusters (Cochran, Sampling Techniques,
    1977, section 6.4): G / (G − 1) · Σ_g (Σ_{q in g} (x_q − mean))² / Q².  With one value per cluster, the
    result is the usual error, s / √Q.

    Args:
        cluster: int64 [Q], the cluster of each value.

    Returns:
        None if there is only one cluster or a value is not finite.
    """
    _, number = np.unique(cluster, return_inverse=True)
    if number.max() == 0 or not np.isfinite(values).all():
        return None
    sums = np.bincount(number, values - values.mean())
    count = len(sums)
    return math.sqrt(count / (count - 1) * float((sums**2).sum())) / len(values)


def clustered_mean(values: np.ndarray, cluster: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """Mean of values [Q] in G clusters, and its interval by Student's t with G − 1 degrees of freedom.

    The interval is None if there is only one cluster or a value is not finite.  Source: Cameron and Miller,
    Journal of Human Resources 50, 2015.
    """
    from scipy.special import stdtrit

    mean, error = float(values.mean()), clustered_error(values, cluster)
    if error is None:
        return mean, None
    half = float(stdtrit(len(np.unique(cluster)) - 1, 0.975)) * error
    return mean, (mean - half, mean + half)


def effective_count(values: np.ndarray, cluster: np.ndarray) -> float:
    """The number of independent values whose mean has the same variance as the mean of values [Q] in
    clusters.

    It is Q divided by the design effect: the variance of the mean over the variance if all values were
    independent (Kish, Survey Sampling, 1965, section 8.2).

    Returns:
        At most Q.  Exactly Q if each value is its own cluster, if all values are equal, or if there is only
        one cluster.
    """
    clustered = clustered_error(values, cluster)
    independent = clustered_error(values, np.arange(len(values)))
    if not clustered or not independent:
        return len(values)
    return len(values) * min(1.0, (independent / clustered) ** 2)


def ratio_of_medians(above: Sequence[float], below: Sequence[float]) -> tuple[float, float]:
    """Interval of median(above) / median(below) for positive values measured in pairs.

    The bounds are percentiles of a seeded bootstrap over pairs, so a disturbance of both values of a pair
    stays together (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).  Pairs count as
    independent: the interval does not cover a drift that is slower than the whole measurement.
    """
    pairs = np.array([above, below])
    drawn = np.random.default_rng(0).integers(pairs.shape[1], size=(RESAMPLES, pairs.shape[1]))
    medians = np.median(pairs[:, drawn], axis=-1)
    low, high = np.quantile(medians[0] / medians[1], (0.025, 0.975))
    return float(low), float(high)
