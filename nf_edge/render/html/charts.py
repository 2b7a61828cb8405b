"""Charts of a report as SVG, drawn by matplotlib.

Charts are as narrow as a phone, so that their text is readable there; a wide screen shows several in a row.
Text stays text, in the page's font, and colours are those of the page, in light and dark.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nf_edge.core.figures import format_bytes
from nf_edge.measure.accuracy.compare import Comparison
from nf_edge.render.html.colours import COLOURS, FAINT, INK, VERMILION, themed

WIDTH = 4.2  # inches; 403 CSS pixels
# Colours of the groups of points: blue, vermilion, green.
GROUP_COLOURS = (COLOURS[0], VERMILION.light, COLOURS[2])
# Up to this divergence the scale is linear, from there on logarithmic.
LINEAR_KL = 1e-5
# What a page does not need of an SVG file: fonts (it has its own), turns by 0 degrees, comments, metadata;
# spaces between tags, and digits after a hundredth of a point.
SUPERFLUOUS = re.compile(
    r' font-family: [^;"]*;| transform="rotate\(-0 [^"]*"|<!--.*?-->|<metadata>.*?</metadata>', re.DOTALL
)
BETWEEN_TAGS, DECIMALS = re.compile(r">\s+<"), re.compile(r"(\d\.\d\d)\d+")
SETTINGS = {
    "svg.fonttype": "none",
    # A fixed salt, so that the same report gives the same bytes.
    "svg.hashsalt": "nf-edge",
    "font.family": "sans-serif",
    "font.size": 8.5,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


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
    element = SUPERFLUOUS.sub("", buffer.getvalue().partition("<svg")[2])
    element = DECIMALS.sub(r"\1", BETWEEN_TAGS.sub("><", element))
    return f'<svg role="img" aria-label="{escape(label)}"{themed(element)}'
