"""Charts of a report as SVG, drawn by matplotlib.

Charts are as narrow as a phone, so that their text is readable there; a wide screen shows several in a row.
Text stays text, in the page's font.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nf_edge.core.figures import format_bytes
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.measure.memory.memory_report import MemoryPart
from nf_edge.measure.memory.verdict import Share

WIDTH = 4.2  # inches; 403 CSS pixels
# Colours for colour-blind readers (Okabe and Ito, 2008); neighbours differ in lightness.
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#F0E442", "#E69F00", "#CC79A7", "#999999")
# Colours of the groups of points: blue, vermilion, green.
GROUP_COLOURS = ("#0072B2", "#D55E00", "#009E73")
# Up to this divergence the scale is linear, from there on logarithmic.
LINEAR_KL = 1e-5
INK, FAINT = "#1f2933", "#c5ced6"
SETTINGS = {
    "svg.fonttype": "none",
    # A fixed salt, so that the same report gives the same bytes.
    "svg.hashsalt": "nf-edge",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
}


def parts_chart(lines: Sequence[MemoryPart], total: MemoryPart, accounts: Sequence[str], label: str) -> str:
    """An SVG chart of memory: a stacked bar for each account, such as `planned`.

    Args:
        lines: the parts of memory; each known and positive part is a segment of a bar.
        total: the sum of the parts, written at the end of each bar.
        label: the description of the chart for screen readers.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(0.85 + 0.36 * len(accounts) + 0.17 * len(lines))
        bottoms = [0.0] * len(accounts)
        for line, colour in zip(lines, COLOURS, strict=False):
            sizes = [max(0.0, line.figures()[account].value or 0.0) for account in accounts]
            # The legend names only parts that have a segment.
            label_of_part = line.name if any(sizes) else None
            axes.barh(accounts, sizes, left=bottoms, color=colour, label=label_of_part, height=0.62)
            bottoms = [bottom + size for bottom, size in zip(bottoms, sizes, strict=True)]
        for row, account in enumerate(accounts):
            axes.annotate(
                str(total.figures()[account]),
                (bottoms[row], row),
                (4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.invert_yaxis()
        axes.set_xlim(0, max(bottoms) * 1.28 or 1)
        axes.xaxis.set_visible(False)
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.02), frameon=False, ncols=2, handlelength=1)
        return svg_of(figure, label)


def budget_chart(shares: Sequence[Share], label: str) -> str:
    """An SVG chart with one bar per memory of the device: the required memory as a share of the budget.

    Args:
        label: the description of the chart for screen readers.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(0.2 + 0.66 * len(shares))
        for row, share in enumerate(shares):
            used, percent = (0.0, "") if share.used is None else (share.used, f", {100 * share.used:.1f} %")
            axes.barh(row, 1, color="#e8edf1", height=0.36)
            # Green only if the artifact certainly fits.
            colour = {"fits": COLOURS[2], "fits as far as known": COLOURS[4]}.get(share.outcome, "#D55E00")
            axes.barh(row, min(1, used), color=colour, height=0.36)
            # Two lines of text, neither wider than the bar.
            need = f"{'at least ' if share.unknown else ''}{share.need}"
            text = f"{share.memory} ({share.kind})\n{need} of {format_bytes(share.budget)}{percent}"
            axes.text(0, row - 0.2, text, va="bottom")
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_ylim(len(shares) - 0.7, -0.85)
        axes.axis("off")
        return svg_of(figure, label)


def accuracy_chart(comparison: Comparison, label: str) -> str:
    """An SVG chart of the accuracy of checkpoint and artifact, with 95 % intervals.

    Args:
        label: the description of the chart for screen readers.
    """
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(1.1)
        rows = (("checkpoint", comparison.reference), ("artifact", comparison.artifact))
        for row, (_, score) in enumerate(rows):
            assert score.share is not None
            assert score.interval is not None
            low, high = (100 * bound for bound in score.interval)
            axes.plot([low, high], [row, row], color=COLOURS[1], linewidth=4, solid_capstyle="butt")
            axes.plot(100 * score.share, row, "o", color=COLOURS[0])
            axes.annotate(
                f"{100 * score.share:.2f} %",
                (100 * score.share, row),
                (0, 6),
                textcoords="offset points",
                ha="center",
            )
        axes.set_yticks(range(len(rows)), [name for name, _ in rows])
        axes.set_ylim(len(rows) - 0.5, -0.7)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
        axes.locator_params(axis="x", nbins=5)
        return svg_of(figure, label)


@dataclass(frozen=True)
class Point:
    """A point of the chart: a file of `size` bytes whose predictions diverge by `kl` nats."""

    name: str
    group: str
    size: float
    kl: float
    kl_interval: tuple[float, float]


def scatter_chart(points: Sequence[Point], label: str) -> str:
    """An SVG chart of file sizes and KL divergences with intervals; points have names and a colour per group.

    Args:
        label: the description of the chart for screen readers.
    """
    colours = dict(zip(dict.fromkeys(point.group for point in points), GROUP_COLOURS, strict=False))
    with matplotlib.rc_context(SETTINGS):
        figure, axes = figure_of(3.6)
        for group, colour in colours.items():
            members = [point for point in points if point.group == group]
            for point in members:
                axes.plot([point.size] * 2, point.kl_interval, color=colour, linewidth=2, alpha=0.4)
            sizes, divergences = [point.size for point in members], [point.kl for point in members]
            axes.plot(sizes, divergences, "o", color=colour, markersize=5, label=group)
        # Linear near zero, where float32 is; logarithmic above.
        axes.set_yscale("symlog", linthresh=LINEAR_KL, linscale=0.3)
        axes.set_ylim(-LINEAR_KL / 2, 2 * max(LINEAR_KL, *(point.kl_interval[1] for point in points)))
        axes.set_xlim(0, 1.2 * max(point.size for point in points))  # leaves space for labels
        axes.xaxis.set_major_formatter(lambda value, _: format_bytes(value))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.locator_params(axis="x", nbins=4)
        axes.grid(color=FAINT, linewidth=0.5)
        axes.set_title("KL divergence, nats", loc="left", fontsize=8.5)
        axes.set_xlabel("model file")
        axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16), frameon=False, ncols=2, handlelength=1)
        _name_points(figure, axes, points)
        return svg_of(figure, label)


def _name_points(figure: Figure, axes: Axes, points: Sequence[Point]) -> None:
    """Write the names next to the points; names that would overlap become one label."""
    figure.draw_without_rendering()  # computes the positions of the points
    together: list[list[Point]] = []
    for point in sorted(points, key=lambda point: (point.size, point.kl)):
        near = next((some for some in together if _covers(axes, some, point)), None)
        if near is None:
            together.append([point])
        else:
            near.append(point)
    for some in together:
        place = (some[-1].size, some[-1].kl)
        axes.annotate(_names(some), place, (5, 0), textcoords="offset points", va="center", fontweight="bold")


def _names(points: Sequence[Point]) -> str:
    return ", ".join(point.name for point in points)


def _covers(axes: Axes, some: Sequence[Point], point: Point) -> bool:
    """Whether the joined label of the points `some` would overlap `point`.

    The label starts at the last point of `some` and extends to the right.
    """
    (x, y), (u, v) = (axes.transData.transform((each.size, each.kl)) for each in (some[-1], point))
    # Pixels, 100 per inch; a digit is eight wide.
    return bool(u - x < 9 + 8 * len(_names(some)) and abs(v - y) < 11)


def figure_of(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0)
    return figure, axes


def svg_of(figure: Figure, label: str) -> str:
    """The <svg> element of a figure, with a label for screen readers."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    element = buffer.getvalue().partition("<svg")[2]
    return f'<svg role="img" aria-label="{label}"{element}'
