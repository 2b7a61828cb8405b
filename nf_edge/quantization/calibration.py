"""Calibration data: rows for the ranges of activations, keys and values, and for GPTQ, AWQ and equalize.

The rows that accuracy is checked on must not be used: the measured accuracy would be too high.
"""

import math
from dataclasses import dataclass

import torch

from nf_edge.backends import all_specs, backend_spec
from nf_edge.backends.input_shape import CacheDtype, Inputs, InputShape
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.example_file import ExampleFile
from nf_edge.model.data.rows import Row, Rows

# More rows hardly change ranges and Hessians, but take time.
MAX_ROWS = 128


@dataclass(frozen=True)
class Calibration:
    """The rows to calibrate on: the first `MAX_ROWS` of a source.

    Attributes:
        source: the user's source, or `examples.jsonl` of the checkpoint.
        sha256: SHA-256 of the source's file.
        truncated: number of the source's rows that were cut to the program's input length.
    """

    source: str
    sha256: str
    rows: tuple[Row, ...]
    truncated: int

    def inputs(self, input_shape: InputShape, pad_token_id: int | None) -> Inputs:
        """Pairs of input_ids and attention_mask, int64 [1, T] each, one pair per row.

        Rows are padded if the program has a fixed length.  If no row needs padding, a shortened copy of the
        first row is added, so that the mask's range covers padding.
        """
        texts = [row.input_ids for row in self.rows]
        if input_shape.dynamic_length:
            return [pad([Row(ids, None)], pad_token_id) for ids in texts]
        # The mask is an activation too.  Its range includes padding only if at least one row is padded.
        if all(len(ids) == input_shape.length for ids in texts) and input_shape.length > 1:
            texts.append(texts[0][:-1])
        return [pad([Row(ids, None)], pad_token_id, input_shape.length) for ids in texts]

    def full_cache_inputs(self, input_shape: InputShape, end: tuple[int, ...]) -> Inputs:
        """All rows joined to one text and cut into pieces that fill the cache; the last piece may be shorter.

        Keys and values depend on their positions.  Most rows are short, so ranges from single rows would not
        hold for later positions.

        Args:
            end: the token to put between two texts; empty if the model has none.
        """
        stream = [token for row in self.rows for token in (*row.input_ids, *end)]
        stream *= math.ceil(input_shape.length / len(stream))
        pieces = [
            stream[start : start + input_shape.length] for start in range(0, len(stream), input_shape.length)
        ]
        return [pad([Row(tuple(piece), None)], None) for piece in pieces]


@torch.no_grad()
def run_rows(network: NoiseFormer, inputs: Inputs) -> None:
    """Run a network over rows without their padding, so that its forward hooks receive the activations."""
    for input_ids, attention_mask in inputs:
        network(torch.from_numpy(input_ids[:, : int(attention_mask.sum())]))


def calibration_for(
    recipe: Recipe, cache: CacheDtype | None, rows: Rows | None, examples: ExampleFile
) -> Calibration | None:
    """The calibration rows of a recipe: `rows` if given, otherwise the checkpoint's examples.

    Args:
        cache: the dtype of the checkpoint's cache with this recipe; None without a cache.

    Returns:
        None if nothing needs calibration.

    Raises:
        BadInput: the recipe needs calibration data and there is none; the recipe needs none, but `rows` is
            given; or a row is longer than the program's input.
    """
    purposes = calibration_purposes(recipe, cache)
    if not purposes:
        if rows is not None:
            raise _nothing_to_calibrate(recipe, cache)
        return None
    if rows is not None:
        rows.require_at_most(examples.length)
        return _first_rows(rows)
    if examples.rows is None:
        raise BadInput(
            f"recipe {recipe.name} needs calibration data ({', '.join(purposes)})",
            fix="pass --calibrate FILE (calibrate= in Python) with rows that --data does not have; or put an "
            "examples.jsonl next to the checkpoint's config.json",
        )
    return _first_rows(examples.rows)


def may_calibrate(recipe: Recipe) -> bool:
    """Whether a recipe can need calibration data; an int8 cache needs it, but not every model has a cache."""
    support = backend_spec(recipe.backend).support
    int8_cache = recipe.quantize is not None and recipe.quantize.kv_cache == "int8"
    cache = CacheDtype("int8", static=True) if int8_cache and support.static_cache else None
    return bool(calibration_purposes(recipe, cache))


def calibration_purposes(recipe: Recipe, cache: CacheDtype | None) -> list[str]:
    """The parts of a recipe that need calibration data, in words; empty if it needs none.

    Args:
        cache: the dtype of the cache; None without a cache.
    """
    quantize = recipe.quantize
    if quantize is None:
        return []
    needs = {
        "static activations": quantize.static,
        "static keys and values": cache is not None and cache.static,
        quantize.method.upper(): quantize.method != "nearest",
        "equalize": quantize.equalize,
    }
    return [purpose for purpose, needed in needs.items() if needed]


def _nothing_to_calibrate(recipe: Recipe, cache: CacheDtype | None) -> BadInput:
    """The error for calibration rows that the recipe does not use."""
    fix = (
        "leave out --calibrate, or use a recipe that calibrates: one with static activations, with method "
        "gptq or awq, or with equalize"
    )
    if not may_calibrate(recipe):
        cached = " or ".join(name for name, each in all_specs().items() if each.support.static_cache)
        return BadInput(
            f"--calibrate has no effect, because recipe {recipe.name} has nothing to calibrate",
            fix=f"{fix}, or with kv_cache: int8 on backend {cached}",
        )
    # The only remaining case: the recipe has an int8 cache, but this model has no cache of that kind.
    why = "it has no cache" if cache is None else f"its cache stays {cache.dtype}, {cache.reason}"
    what = f"--calibrate has no effect, because recipe {recipe.name} has nothing to calibrate for this model"
    return BadInput(f"{what} ({why})", fix=fix)


def _first_rows(rows: Rows) -> Calibration:
    return Calibration(rows.source, rows.sha256, rows.rows[:MAX_ROWS], rows.truncated)
