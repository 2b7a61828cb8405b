"""Digits drawn for nf-edge in the format of the digits data set, to have examples without license
restrictions.

Each digit is the path of a round pen on a bitmap of 32×32 pixels.  The number of inked pixels in each block
of 4×4 is the intensity, 0 to 16.  The digits data set was made in the same way from scanned forms.
"""

from itertools import pairwise
from typing import Any

import numpy as np

# (label, path): the corners "x,y" of the pen's path, in percent of the glyph's box from its top left.  "|"
# lifts the pen.
GLYPHS = (
    (0, "50,0 15,20 0,50 15,80 50,100 85,80 100,50 85,20 50,0"),
    (0, "40,0 10,30 5,75 30,100 70,100 95,70 90,25 65,0 40,0"),
    (1, "25,25 60,0 60,100"),
    (1, "50,0 50,100"),
    (2, "5,20 35,0 75,5 85,30 50,65 5,100 100,100"),
    (2, "10,15 50,0 85,15 80,40 30,80 10,95 95,95"),
    (3, "5,5 60,0 85,20 40,45 90,70 65,100 5,95"),
    (3, "10,10 50,0 90,10 75,40 35,50 85,60 85,90 40,100 10,90"),
    (4, "50,0 5,60 95,60 | 70,40 65,100"),
    (4, "30,0 5,50 90,55 | 85,15 60,100"),
    (5, "90,0 20,0 15,45 65,40 90,65 65,95 10,100"),
    (5, "95,5 30,5 20,40 70,45 85,75 50,100 10,90"),
    (6, "60,0 20,35 5,75 40,100 85,85 75,55 10,70"),
    (6, "45,0 15,40 15,80 50,100 90,80 70,55 20,65"),
    (7, "5,5 95,5 50,50 30,100"),
    (7, "10,5 90,0 45,100 | 25,50 90,50"),
    (8, "50,45 15,20 50,0 85,20 50,45 10,75 50,100 90,75 50,45"),
    (8, "85,10 40,0 20,20 80,70 60,100 20,90 25,65 85,10"),
    (9, "85,25 50,0 10,20 30,45 85,30 85,70 50,100 15,95"),
    (9, "80,20 40,0 10,25 40,50 80,20 75,60 60,100"),
)
# Every glyph is drawn with each of these: radius of the pen, width of the glyph, slant.
PENS = ((2.2, 21.0, 0.0), (2.6, 23.0, 0.1), (2.4, 20.0, 0.2), (2.8, 22.0, -0.1))
CANVAS, BLOCK = 32, 4


def drawings() -> list[dict[str, Any]]:
    """80 rows of drawn digits, {"input_ids": 64 ints of 0…16, "label": 0…9}."""
    return [
        {"input_ids": draw(path, *pen).ravel().tolist(), "label": label}
        for label, path in GLYPHS
        for pen in PENS
    ]


def draw(path: str, radius: float, width: float, slant: float) -> np.ndarray:
    """Draw a glyph that fills the height of the bitmap: intensities, int64 [8, 8], 0 to 16.

    Args:
        path: corners "x,y" of the pen's path, in percent of the glyph's box from its top left; "|" lifts the
            pen.
        radius: radius of the pen, in pixels of the bitmap.
        width: width of the upright glyph in pixels.
        slant: how far the top is to the right of the bottom, as a share of the height; 0 is upright.
    """
    pixels = np.stack(np.meshgrid(np.arange(CANVAS), np.arange(CANVAS)), axis=-1) + 0.5
    inked = np.zeros((CANVAS, CANVAS), dtype=bool)
    height = CANVAS - 2 * radius
    for stroke in path.split("|"):
        x, y = np.array([corner.split(",") for corner in stroke.split()], dtype=float).T / 100
        across = CANVAS / 2 + (x - 0.5) * (width - 2 * radius) + (0.5 - y) * slant * height
        for start, end in pairwise(np.stack((across, radius + y * height), axis=-1)):
            line = end - start
            along = ((pixels - start) @ line / (line @ line)).clip(0, 1)
            inked |= np.linalg.norm(pixels - start - along[..., None] * line, axis=-1) <= radius
    blocks = CANVAS // BLOCK
    counts: np.ndarray = inked.reshape(blocks, BLOCK, blocks, BLOCK).sum(axis=(1, 3))
    return counts
