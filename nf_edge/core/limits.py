"""Limits on lost accuracy, in points: the unit of recipes, of the command line and of reports.

A point is one percent of all rows: 97.5 % right instead of 98 % is half a point.
"""

# Smaller limits except 0 are refused: 0.01 probably means the share that equals one point.
LEAST_DROP = 0.05


def drop_problem(points: float) -> str:
    """The problem of a limit in points that looks like a share, with the fix; "" if the limit is
    plausible.
    """
    if not 0 < points < LEAST_DROP:
        return ""
    return (
        f"{points:g} looks like a share, but the unit is points of accuracy; write {100 * points:g} if you "
        f"mean {100 * points:g} %, or 0 to allow no loss"
    )
