"""How much accuracy may be lost: one unit, points, in recipes, on the command line and in reports.

A point is a hundredth of the share of right answers: 97.5 % instead of 98 % is half a point.
"""

# Nobody allows less than this but nothing at all: 0.01 is a share that was meant to be a whole point.
LEAST_DROP = 0.05


def drop_problem(points: float) -> str:
    """Why so many points cannot be meant, and what to write; "" where they can."""
    if not 0 < points < LEAST_DROP:
        return ""
    return (
        f"{points:g} is in points of accuracy, so less than one answer in {round(100 / LEAST_DROP):,}; write "
        f"{100 * points:g} for {points:g} as a share, or 0 for no loss at all"
    )
