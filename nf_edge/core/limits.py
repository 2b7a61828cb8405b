"""Limits on lost accuracy: the rules that recipes, the command line and the Python API share.

A point is one percent of all rows: 97.5 % right instead of 98 % is half a point.
"""

from collections.abc import Mapping
from math import inf
from typing import Literal

from nf_edge.core.errors import quoted
from nf_edge.core.metrics import METRICS

# Smaller limits in points except 0 are refused: 0.01 probably means the share that equals one point.
LEAST_DROP = 0.05
# Fewer rows give no verdict, and no interval by draws of the rows.  Of a language model, texts or windows
# count.
LEAST_ROWS = 10
# What a limit holds for: the measured value, or the bad end of its 95 % interval.
LimitsOn = Literal["estimate", "interval"]
# The largest loss of the task's main metric in points, or of each metric in its unit.
MaxDrop = float | Mapping[str, float]


def drop_problem(points: float) -> str:
    """Check that a limit in points is not so small that the user probably meant a share.

    Returns:
        The problem and its fix, in words; "" if there is none.
    """
    if not 0 < points < LEAST_DROP:
        return ""
    return (
        f"{points:g} looks like a share, but the unit is points of accuracy; write {100 * points:g} if you "
        f"mean {100 * points:g} %, or 0 to allow no loss"
    )


def points_problem(points: float) -> str:
    """Check that a limit in points is from 0 to 100, and passes `drop_problem`.

    Returns:
        The problem, in words; "" if there is none.
    """
    if not 0 <= points <= 100:
        return f"{points:g} is not a number of points from 0 to 100"
    return drop_problem(points)


def loss_problem(name: str, loss: float) -> str:
    """Check that the metric `name` exists, and that the limit `loss` on it is valid in the metric's unit.

    Returns:
        The problem, in words; "" if there is none.
    """
    metric = METRICS.get(name)
    if metric is None:
        return f"{quoted(name)} is not a metric; the metrics are {', '.join(METRICS)}"
    if metric.unit == "points":
        problem = points_problem(loss)
        return problem and f"{name}: {problem}"
    return "" if 0 <= loss < inf else f"{name}: {loss:g} is not a finite number of at least 0"
