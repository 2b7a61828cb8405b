"""Colours of charts and pages, in light and dark.

Charts are drawn in the light colours.  `themed` replaces each by a CSS variable, which has another value in
the dark.
"""

from typing import NamedTuple


class Colour(NamedTuple):
    """The name of a CSS variable, and its values in light and dark."""

    name: str
    light: str
    dark: str


# For colour-blind readers (Okabe and Ito, 2008); neighbours differ in lightness.
SERIES = (
    Colour("blue", "#0072b2", "#3d9ddd"),
    Colour("sky", "#56b4e9", "#9ad4f5"),
    Colour("green", "#009e73", "#26b88e"),
    Colour("yellow", "#f0e442", "#e3d84a"),
    Colour("orange", "#e69f00", "#e8ab2e"),
    Colour("pink", "#cc79a7", "#db93ba"),
    Colour("grey", "#999999", "#7d8891"),
)
COLOURS = tuple(colour.light for colour in SERIES)
VERMILION = Colour("vermilion", "#d55e00", "#f0823c")
INK, FAINT, PAGE, SOFT = "#1f2933", "#c5ced6", "#ffffff", "#e8edf1"
# Backgrounds of text, by kind of layer.
TINTS = (
    Colour("tint-orange", "#fbe3b0", "#5a4210"),
    Colour("tint-blue", "#bcdcf2", "#123f5e"),
    Colour("tint-green", "#bfe8da", "#104a3a"),
    Colour("tint-pink", "#f0d3e3", "#54304a"),
    Colour("tint-grey", "#dde2e6", "#37424b"),
)
# What a verdict says: it fits, it fits as far as known, it does not fit or nothing is known.
GOOD = Colour("good", "#00774f", "#4fd1a5")
WARN = Colour("warn", "#8a5a00", "#f2c14e")
BAD = Colour("bad", "#b33f00", "#ff9d66")
# Cells of the heat map: how full a memory is, and how far over its budget.
HEAT = (
    Colour("roomy", "#cfe6f5", "#16384d"),
    Colour("half", "#74b4dd", "#2374a8"),
    Colour("full", "#0072b2", "#7cc4f2"),
    Colour("over", "#e07b39", "#c25e1f"),
    Colour("far", "#8f3a06", "#ffb185"),
)
# The colours of charts.
THEME = (
    *SERIES,
    *TINTS,
    VERMILION,
    GOOD,
    WARN,
    BAD,
    Colour("ink", INK, "#e4e9ee"),
    Colour("line", FAINT, "#4a5661"),
    Colour("track", SOFT, "#27313a"),
    Colour("page", PAGE, "#12181d"),
)


def themed(svg: str) -> str:
    """An SVG element whose colours are CSS variables of the page."""
    for colour in THEME:
        svg = svg.replace(f": {colour.light}", f": var(--{colour.name})")
    return svg


def css(dark: bool) -> str:
    """The declarations of all variables, for light or for dark."""
    colours = (*THEME, *HEAT)
    return " ".join(f"--{colour.name}: {colour.dark if dark else colour.light};" for colour in colours)
