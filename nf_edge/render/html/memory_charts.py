"""Charts of memory: stacked bars of the parts, against the device's budget or by themselves."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from nf_edge.core.figures import Figure, format_bytes
from nf_edge.measure.memory import MemoryReport
from nf_edge.measure.memory.accounts import HEAP_PARTS, PROCESS_PARTS, UNACCOUNTED
from nf_edge.measure.memory.firmware_account import FLASH, FLASH_PARTS, SRAM, SRAM_PARTS
from nf_edge.measure.memory.memory_report import MemoryPart
from nf_edge.measure.memory.verdict import Share
from nf_edge.render.html.charts import SETTINGS, figure_of, svg_of
from nf_edge.render.html.colours import BAD, COLOURS, FAINT, GOOD, INK, SOFT, WARN

# Heights in inches: a bar with the text above it, and a line of the legend.
ROW, LEGEND_LINE = 0.5, 0.18
# Up to this share of the budget, the parts are too narrow in the bar against the budget.
NARROW = 0.4
LOADING = "only while loading"
OUTCOMES = {"fits": GOOD, "fits as far as known": WARN}


@dataclass(frozen=True)
class Stack:
    """Stacked bars, one per account.

    Attributes:
        parts: the parts; each known and positive part is a segment of a bar.
        total: the sum of the parts.
    """

    parts: tuple[MemoryPart, ...]
    total: MemoryPart

    @property
    def accounts(self) -> list[str]:
        """The accounts with a known total and a known part."""
        parts = [part.figures() for part in self.parts]
        return [
            how
            for how, total in self.total.figures().items()
            if total.value is not None and any(figures[how].value is not None for figures in parts)
        ]

    @property
    def largest(self) -> float:
        return max((self.total.figures()[how].value or 0 for how in self.accounts), default=0)


def process_stack(report: MemoryReport) -> Stack:
    """The parts of the process, with what loading needs in addition to the steady state."""
    extra = {how: _extra(report, how) for how in report.steady.figures()}
    return Stack((*report.process, MemoryPart(LOADING, **extra)), report.process_total)


def _extra(report: MemoryReport, how: str) -> Figure:
    steady, peak = (part.figures()[how].value for part in (report.steady, report.process_total))
    size = 0 if steady is None or peak is None else max(0, peak - steady)
    return Figure(size, "bytes", "planned")


def budget_stacks(report: MemoryReport) -> list[tuple[Share, Stack]]:
    """The device's memories, each with the parts that need it; empty without a verdict."""
    shares = report.verdict.shares if report.verdict else ()
    if len(shares) < 2:  # a phone or a board: the process is in one memory
        return [(share, process_stack(report)) for share in shares]
    return [(share, _microcontroller(report, share)) for share in shares]


def _microcontroller(report: MemoryReport, share: Share) -> Stack:
    flash = share.kind == "flash"
    if not report.firmware:
        if flash:
            return Stack(report.file, report.file_total)
        parts = tuple(part for part in report.process if part.name in HEAP_PARTS)
        return Stack(parts, _sum(parts))
    named = {part.name: part for part in report.firmware}
    names = FLASH_PARTS if flash else SRAM_PARTS
    return Stack(tuple(named[name] for name in names), named[FLASH if flash else SRAM])


def _sum(parts: Sequence[MemoryPart]) -> MemoryPart:
    def total(how: str) -> Figure:
        known = [value for part in parts if (value := part.figures()[how].value) is not None]
        if not known:
            return Figure.unavailable("bytes", "no part is known")
        note = "without unknown parts" if len(known) < len(parts) else ""
        return Figure(sum(known), "bytes", "planned", note)

    return MemoryPart("sum", total("predicted"), total("planned"), total("measured"))


def is_narrow(report: MemoryReport) -> bool:
    """Whether the parts of the process need a chart of their own, because the budget is much larger."""
    stacks = budget_stacks(report)
    return len(stacks) != 1 or not stacks[0][1].largest >= NARROW * stacks[0][0].budget


def budget_chart(share: Share, stack: Stack, label: str) -> str:
    """An SVG chart of the parts in one memory of the device, with the budget as a line.

    Args:
        label: the description of the chart for screen readers.
    """
    outcome = OUTCOMES.get(share.outcome, BAD).light
    percent = "" if share.used is None else f", {100 * share.used:.1f} %"
    need = f"{'at least ' if share.unknown else ''}{share.need}"
    title = f"{share.memory} ({share.kind}): {need} of {format_bytes(share.budget)}{percent}"
    with matplotlib.rc_context(SETTINGS):
        rows, named = len(stack.accounts), _named(stack)
        figure, axes = _figure(0.35, rows, len(named) + 1)
        scale = max(share.budget, stack.largest) or 1
        for row, how in enumerate(stack.accounts):
            total = stack.total.figures()[how]
            value = total.value or 0
            axes.barh(row, share.budget, color=SOFT, height=0.5)
            axes.text(0, row - 0.32, f"{how} {_text(total)}, {_room(share.budget - value)}", va="bottom")
        _bars(axes, stack, named)
        budget = f"budget {format_bytes(share.budget)}"
        lows, highs = ([row + side for row in range(rows)] for side in (-0.3, 0.3))
        axes.vlines([share.budget] * rows, lows, highs, color=outcome, linewidth=3, label=budget)
        axes.set_ylim(rows - 0.7, -0.75)
        axes.set_xlim(0, scale * 1.005)
        axes.set_title(title, loc="left", fontsize=8.5, color=outcome, fontweight="bold")
        axes.axis("off")
        _legend(axes)
        return svg_of(figure, label)


def parts_chart(stack: Stack, label: str) -> str:
    """An SVG chart of memory: a stacked bar for each account, such as `planned`.

    Args:
        label: the description of the chart for screen readers.
    """
    with matplotlib.rc_context(SETTINGS):
        rows, named = len(stack.accounts), _named(stack)
        figure, axes = _figure(0.05, rows, len(named))
        for row, how in enumerate(stack.accounts):
            axes.text(0, row - 0.32, f"{how} {_text(stack.total.figures()[how])}", va="bottom")
        _bars(axes, stack, named)
        axes.set_ylim(rows - 0.7, -0.75)
        axes.set_xlim(0, stack.largest * 1.005 or 1)
        axes.axis("off")
        _legend(axes)
        return svg_of(figure, label)


def _named(stack: Stack) -> list[MemoryPart]:
    """The parts that have a segment in any bar."""
    return [part for part in stack.parts if any(_size(part, how) for how in stack.accounts)]


def _size(part: MemoryPart, how: str) -> float:
    return max(0.0, part.figures()[how].value or 0.0)


def _bars(axes: Axes, stack: Stack, named: Sequence[MemoryPart]) -> None:
    """Draw the segments; the legend has the size of each part in the largest account."""
    rows = range(len(stack.accounts))
    lefts = [0.0] * len(stack.accounts)
    for part, colour in zip(named, _colours(named), strict=True):
        sizes = [_size(part, how) for how in stack.accounts]
        label = f"{part.name} {format_bytes(max(sizes))}"
        bars = axes.barh(rows, sizes, left=lefts, color=colour, height=0.5, label=label)
        if part.name == LOADING:
            for bar in bars:
                bar.set(hatch="////", edgecolor=INK, linewidth=0)
        lefts = [left + size for left, size in zip(lefts, sizes, strict=True)]


def _colours(parts: Sequence[MemoryPart]) -> list[str]:
    """A colour for each part; parts of a process have the same one in all charts."""
    fixed = dict(zip(PROCESS_PARTS, COLOURS, strict=False)) | {LOADING: FAINT, UNACCOUNTED: FAINT}
    return [fixed.get(part.name, COLOURS[index % len(COLOURS)]) for index, part in enumerate(parts)]


def _text(total: Figure) -> str:
    return f"{'≥ ' if total.note.startswith('without ') else ''}{total}"


def _room(left: float) -> str:
    """Words for the bytes of the budget that are left."""
    return f"{format_bytes(left)} left" if left >= 0 else f"{format_bytes(-left)} over the budget"


def _figure(title: float, rows: int, entries: int) -> tuple[Drawing, Axes]:
    """A figure with space for a title of this height in inches, for bars, and for the legend below them."""
    bars, legend = max(1, rows) * ROW, LEGEND_LINE * -(-entries // 2) + 0.08
    height = title + bars + legend
    figure, axes = figure_of(height)
    # The layout engine would shrink the bars to the width of the legend.
    figure.set_layout_engine("none")
    axes.set_position((0.005, legend / height, 0.99, bars / height))
    return figure, axes


def _legend(axes: Axes) -> None:
    places = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 0, "borderpad": 0.2}
    axes.legend(**places, frameon=False, ncols=2, handlelength=1)
