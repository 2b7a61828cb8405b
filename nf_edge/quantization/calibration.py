"""The data on which ranges are seen before they are fixed, of activations and of keys and values, and inputs
of layers before weights are rounded for those.

Never the rows that accuracy is checked on: ranges fitted to them would flatter the artifact.
"""

import math
from dataclasses import dataclass

import torch

from nf_edge.backends import registered_backend
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Checkpoint, NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row, Rows, load_rows

# What a method of rounding weights sees rows for.
METHODS = {
    "nearest": "",
    "gptq": "rounds weights for what their layers are given",
    "awq": "scales weights by what their layers are given",
}
# Rows that are used, the first of those there are.
MOST_ROWS = 128


@dataclass(frozen=True)
class Calibration:
    """The rows, and what can be told of them.

    Attributes:
        source: what was asked for, or `examples.jsonl` for the checkpoint's own.
        sha256: of the whole source.
        truncated: rows of the whole source that were cut to the length that the program takes.
    """

    source: str
    sha256: str
    rows: tuple[Row, ...]
    truncated: int

    def inputs(self, input_shape: InputShape, pad_token_id: int | None) -> Inputs:
        """The rows in the shapes that a program takes."""
        texts = [row.input_ids for row in self.rows]
        if input_shape.dynamic_length:
            return [pad([Row(ids, None)], pad_token_id) for ids in texts]
        # What hides padding has a range too, which has to be seen.
        if all(len(ids) == input_shape.length for ids in texts) and input_shape.length > 1:
            texts.append(texts[0][:-1])
        return [pad([Row(ids, None)], pad_token_id, input_shape.length) for ids in texts]

    def filling(self, input_shape: InputShape, end: tuple[int, ...]) -> Inputs:
        """The rows one after the other, in pieces that fill a cache; the last may be shorter.

        Keys and values depend on their positions, and examples are mostly short: ranges that were seen at
        the first positions alone do not hold at the others.

        Args:
            end: the token that stands between two texts, if the model has one.
        """
        stream = [token for row in self.rows for token in (*row.input_ids, *end)]
        stream *= math.ceil(input_shape.length / len(stream))
        pieces = [
            stream[start : start + input_shape.length] for start in range(0, len(stream), input_shape.length)
        ]
        return [pad([Row(tuple(piece), None)], None) for piece in pieces]


@torch.no_grad()
def run_rows(network: NoiseFormer, seen: Inputs) -> None:
    """Run a network over rows, each without its padding, for what hooks see of it."""
    for input_ids, attention_mask in seen:
        network(torch.from_numpy(input_ids[:, : int(attention_mask.sum())]))


def calibration_for(
    checkpoint: Checkpoint, recipe: Recipe, cache: CacheDtype | None, given: Rows | None
) -> Calibration | None:
    """What a recipe calibrates on: the rows given, else the checkpoint's `examples.jsonl`.

    Args:
        cache: what the backend makes of the recipe's cache for this checkpoint.

    Returns:
        None where there is nothing to see.

    Raises:
        BadInput: it has to calibrate and there is nothing to do it on, or has not and rows were given, or
            those are longer than it takes.
    """
    purpose = purpose_of(recipe, cache)
    if not purpose:
        if given is not None:
            why = f" of this model: {_why_not(cache)}" if may_calibrate(recipe) else ""
            cached = "" if may_calibrate(recipe) else ", or one with an int8 kv_cache for backend onnx_cpu"
            raise BadInput(
                f"recipe {recipe.name} has nothing to calibrate{why}",
                fix="leave out --calibrate, or use a recipe whose activations are static, whose method "
                f"is gptq or awq, or that equalizes{cached}",
            )
        return None
    length = InputShape.of(recipe, checkpoint.config).length
    if given is not None:
        given.require_at_most(length)
        return _first(given, given.source)
    if checkpoint.examples_file is None:
        raise BadInput(
            f"recipe {recipe.name} {purpose}, and has no data to see them on",
            fix="give rows with --calibrate FILE (others than those of --data), or put an examples.jsonl "
            "beside the checkpoint's config.json",
        )
    examples = load_rows(str(checkpoint.examples_file), checkpoint, length=length)
    return _first(examples, checkpoint.examples_file.name)


def may_calibrate(recipe: Recipe) -> bool:
    """Whether a recipe needs calibration data, at least for models with a cache that can be int8."""
    how = recipe.quantize
    if how is None:
        return False
    static_cache = registered_backend(recipe.backend).support.static_cache
    return how.static or how.method != "nearest" or how.equalize or (static_cache and how.kv_cache == "int8")


def purpose_of(recipe: Recipe, cache: CacheDtype | None) -> str:
    """What a recipe calibrates for, for this model; "" if for nothing."""
    how = recipe.quantize
    static = how is not None and how.static
    parts = ["activations"] * static + ["keys and values"] * (cache is not None and cache.static)
    ranges = f"fixes the ranges of {' and of '.join(parts)}" if parts else ""
    rounds = METHODS[how.method] if how is not None else ""
    equalizes = "equalizes channels by their ranges" if how is not None and how.equalize else ""
    return " and ".join(purpose for purpose in (ranges, rounds, equalizes) if purpose)


def _why_not(cache: CacheDtype | None) -> str:
    """Why a recipe that asks for an int8 cache fixes no ranges of one."""
    return "it has no cache" if cache is None else f"its cache stays {cache.dtype}: {cache.reason}"


def _first(rows: Rows, source: str) -> Calibration:
    return Calibration(source, rows.sha256, rows.rows[:MOST_ROWS], rows.truncated)
