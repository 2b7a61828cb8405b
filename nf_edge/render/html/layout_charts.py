"""Charts of a model file's layout: the arena over the program's operators, and the weights as a treemap."""

import re
from collections.abc import Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from nf_edge.backends.file_layout import EMBEDDINGS, HEAD_LAYER, ArenaTensor, ArenaUse
from nf_edge.core.figures import format_bytes
from nf_edge.render.html.charts import SETTINGS, WIDTH, figure_of, svg_of
from nf_edge.render.html.colours import COLOURS, FAINT, INK, PAGE, TINTS, VERMILION
from nf_edge.render.layout import KINDS, kind_of, short_name
from nf_edge.render.treemap import Rect, squarified

BLUE, SKY, GREEN, YELLOW, ORANGE, PINK, GREY = COLOURS
ARENA_COLOURS = dict(zip(KINDS, (ORANGE, BLUE, GREEN, PINK, SKY, YELLOW, GREY, FAINT), strict=True))
TINT = {
    EMBEDDINGS: TINTS[0].light,
    "attention": TINTS[1].light,
    "MLP": TINTS[2].light,
    HEAD_LAYER: TINTS[3].light,
}
# Up to this many operators, lines separate the tensors.
SEPARATE = 150
# The treemap's size in points, the size of its text, and the width of a character relative to it.
MAP_WIDTH, MAP_HEIGHT, MAP_FONT, CHARACTER = 302.0, 216.0, 7.5, 0.6
BLOCK = re.compile(r"transformer\.(h\.\d+)\.")


def arena_chart(arena: ArenaUse, label: str) -> str:
    """An SVG map of the arena: each tensor is a rectangle, from its first to its last operator.

    Args:
        label: the description of the chart for screen readers.
    """
    count, peak = len(arena.operators), arena.peak
    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, 4.0), layout="constrained")
        use, places = figure.subplots(2, height_ratios=(1, 2), sharex=True)
        xs, ys = _steps(arena.alive)
        use.fill_between(xs, ys, color=SKY, linewidth=0)
        use.plot(peak + 0.5, arena.alive[peak], "o", color=VERMILION.light, markersize=5)
        text = f"peak {format_bytes(arena.alive[peak])}, at operator {peak + 1}"
        use.annotate(
            text,
            (peak + 0.5, arena.planned),
            (0, 5),
            textcoords="offset points",
            ha="right" if peak > count / 2 else "left",
            fontweight="bold",
        )
        use.set_ylabel("bytes in use")
        _draw_places(places, arena)
        for axes in (use, places):
            axes.spines[["top", "right", "left"]].set_visible(False)
            axes.tick_params(length=0)
            axes.axhline(arena.planned, color=INK, linewidth=0.8, linestyle="--")
            axes.axvline(peak + 0.5, color=VERMILION.light, linewidth=1)
            axes.set_ylim(0, arena.planned * 1.02)
            axes.yaxis.set_major_formatter(lambda value, _: _short_bytes(value))
            axes.locator_params(axis="y", nbins=4)
        places.set_xlim(0, count)
        places.locator_params(axis="x", nbins=6)
        places.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        places.set_xlabel("operators, in the order in which they run")
        figure.legend(loc="outside lower left", frameon=False, ncols=4, handlelength=1)
        return svg_of(figure, label)


def _draw_places(axes: Axes, arena: ArenaUse) -> None:
    """Draw a rectangle for each tensor: its operators and its addresses."""
    width = 0.5 if len(arena.operators) <= SEPARATE else 0
    for kind in KINDS:
        tensors = [tensor for tensor in arena.tensors if kind_of(tensor.layer) == kind]
        if tensors:
            path = Path.make_compound_path(*map(_outline, tensors))
            colour = ARENA_COLOURS[kind]
            axes.add_patch(PathPatch(path, facecolor=colour, edgecolor=PAGE, linewidth=width, label=kind))
    axes.set_ylabel("address")


def _short_bytes(value: float) -> str:
    """Bytes for an axis, without decimals that are zero."""
    number, _, unit = format_bytes(value).partition(" ")
    return f"{float(number.replace(',', '')):g} {unit}"


def _outline(tensor: ArenaTensor) -> Path:
    left, right = tensor.first, tensor.last + 1
    low, high = tensor.offset, tensor.offset + tensor.bytes
    return Path([(left, low), (left, high), (right, high), (right, low), (left, low)], closed=True)


def _steps(values: tuple[int, ...]) -> tuple[list[float], list[float]]:
    """The corners of a stepped line; equal neighbours have no corner between them."""
    xs, ys = [0.0], [float(values[0])]
    for index in range(1, len(values)):
        if values[index] != values[index - 1]:
            xs += [index, index]
            ys += [values[index - 1], values[index]]
    return [*xs, len(values)], [*ys, float(values[-1])]


def weights_chart(weights: Mapping[str, int], dtypes: Mapping[str, str], label: str) -> str:
    """An SVG treemap of the weights: a tile per layer, grouped by block, with areas as their bytes.

    Args:
        dtypes: the dtypes of each layer's weights, in words.
        label: the description of the chart for screen readers.
    """
    with matplotlib.rc_context(SETTINGS | {"font.size": MAP_FONT}):
        figure, axes = figure_of(MAP_HEIGHT / 72)
        for layer, rect in tiles_of(weights).items():
            colour = TINT.get(kind_of(layer), TINTS[4].light)
            axes.add_patch(Rectangle(rect[:2], rect.width, rect.height, facecolor=colour, edgecolor=PAGE))
            _write(axes, rect, [short_name(layer), dtypes.get(layer, ""), format_bytes(weights[layer])])
        figure.set_layout_engine("none")
        axes.set_position((0, 0, 1, 1))
        axes.set_xlim(0, MAP_WIDTH)
        axes.set_ylim(MAP_HEIGHT, 0)
        axes.axis("off")
        return svg_of(figure, label)


def tiles_of(weights: Mapping[str, int]) -> dict[str, Rect]:
    """The tile of each layer; layers of one block are neighbours, and the areas are proportional to bytes."""
    groups: dict[str, dict[str, int]] = {}
    for layer, size in weights.items():
        block = BLOCK.match(layer)
        if size > 0:
            groups.setdefault(block[1] if block else layer, {})[layer] = size
    tiles: dict[str, Rect] = {}
    into = Rect(0, 0, MAP_WIDTH, MAP_HEIGHT)
    for rect, group in _divided({name: sum(group.values()) for name, group in groups.items()}, into):
        tiles |= {layer: tile for tile, layer in _divided(groups[group], rect)}
    return tiles


def _divided(sizes: Mapping[str, int], into: Rect) -> list[tuple[Rect, str]]:
    names = sorted(sizes, key=lambda name: -sizes[name])
    return list(zip(squarified([sizes[name] for name in names], into), names, strict=True))


def _write(axes: Axes, rect: Rect, lines: list[str]) -> None:
    """Write the lines that fit into a tile; into a narrow one, one line upwards."""
    lines = [line for line in lines if line]
    line_height = 1.3 * MAP_FONT
    room = int((rect.height - 4) / line_height)
    if _fits(lines[0], rect.width) and room:
        fitting = [line for line in lines if _fits(line, rect.width)][:room]
        for number, line in enumerate(fitting):
            axes.text(rect.x + 3, rect.y + 3 + number * line_height, line, va="top")
    elif rect.width > line_height:
        texts = (" ".join(lines[:1] + lines[2:]), lines[0])
        if line := next((text for text in texts if _fits(text, rect.height)), ""):
            axes.text(rect.x + rect.width / 2, rect.y + 3, line, rotation=270, va="top", ha="center")


def _fits(line: str, width: float) -> bool:
    return len(line) * CHARACTER * MAP_FONT <= width - 5
