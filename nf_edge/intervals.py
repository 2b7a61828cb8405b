"""Confidence intervals of the figures that a user is shown, all at 95 %."""

import math
from collections.abc import Sequence

import numpy as np

# The 97.5 % point of the normal distribution.
Z = 1.959963984540054
RESAMPLES = 2000


def wilson(hits: int, total: int) -> tuple[float, float]:
    """Interval of a share, hits / total (Wilson, JASA 22, 1927)."""
    share = hits / total
    centre = share + Z**2 / (2 * total)
    half = Z * math.sqrt(share * (1 - share) / total + Z**2 / (4 * total**2))
    scale = 1 + Z**2 / total
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def paired_difference(lost: int, gained: int, total: int) -> tuple[float, float]:
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
