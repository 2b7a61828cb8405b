"""The data on which the ranges of activations are seen, before they are fixed.

Never the rows that accuracy is checked on: ranges fitted to them would flatter the artifact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nf_edge.accuracy.answers import pad
from nf_edge.artifact import Calibrated
from nf_edge.backends.base import Bounds
from nf_edge.data.rows import Row, Rows, load_rows
from nf_edge.errors import BadInput
from nf_edge.model import Checkpoint
from nf_edge.recipe import Recipe

# `input_ids` and `attention_mask`, int64 [1, T], a pair a row.
Inputs = Sequence[tuple[np.ndarray, np.ndarray]]
# Rows that are used, the first of those there are.
MOST_ROWS = 128


@dataclass(frozen=True)
class Calibration:
    """The rows, and what can be told of them.

    Attributes:
        source: what was asked for, or `examples.jsonl` for the checkpoint's own.
        sha256: of the whole source.
    """

    source: str
    sha256: str
    rows: tuple[Row, ...]

    @property
    def told(self) -> Calibrated:
        """What the manifest says of it."""
        return Calibrated(source=self.source, rows=len(self.rows), sha256=self.sha256)

    def inputs(self, bounds: Bounds, pad_token_id: int | None) -> Inputs:
        """The rows in the shapes that a program takes."""
        length = None if bounds.dynamic_length else bounds.length
        cut = [Row(row.input_ids[: bounds.length], row.label) for row in self.rows]
        return [pad([row], pad_token_id, length) for row in cut]


def calibration_for(checkpoint: Checkpoint, recipe: Recipe, given: Rows | None) -> Calibration | None:
    """What a recipe calibrates on: the rows given, else the checkpoint's `examples.jsonl`.

    Returns:
        None where the recipe fixes no ranges.

    Raises:
        BadInput: it has to calibrate and there is nothing to do it on, or has not and rows were given.
    """
    if not recipe.calibrates:
        if given is not None:
            raise BadInput(
                f"recipe {recipe.name} has nothing to calibrate",
                fix="leave out --calibrate, or use a recipe whose activations are int8_static",
            )
        return None
    if given is not None:
        return _first(given, given.source)
    if checkpoint.examples_file is None:
        raise BadInput(
            f"recipe {recipe.name} fixes the ranges of activations, and has no data to see them on",
            fix="give rows with --calibrate FILE (others than those of --data), or put an examples.jsonl "
            "beside the checkpoint's config.json",
        )
    examples = load_rows(str(checkpoint.examples_file), checkpoint)
    return _first(examples, checkpoint.examples_file.name)


def _first(rows: Rows, source: str) -> Calibration:
    return Calibration(source, rows.sha256, rows.rows[:MOST_ROWS])
