"""Inputs of a model file: their names, shape and dtypes, and those of its cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
# The name of a language model's keys and values in reports.
KV_CACHE = "KV cache"
# `input_ids` and `attention_mask`, int64 [1, T], a pair a row.
Inputs = Sequence[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class InputShape:
    """Shape [batch, length] of the inputs: one row or any number, `length` tokens or 1 to `length`.

    Where `cached`, it is one row of 1 to `length` tokens, which follow those that the cache holds; there
    are `length` positions in all.
    """

    any_batch: bool
    length: int
    dynamic_length: bool
    cached: bool

    @classmethod
    def of(cls, recipe: Recipe, config: ModelConfig) -> "InputShape":
        """The input shape that a recipe requests.

        Raises:
            BadInput: the recipe requests more tokens than the model has positions.
        """
        length = recipe.shapes.length
        if isinstance(length, int) and length > config.n_positions:
            raise BadInput(
                f"shapes.length is {length}, but the model has {config.n_positions} positions",
                where=f"recipe {recipe.name}",
            )
        cached = config.is_language_model and recipe.logits == "last"
        return cls(
            any_batch=recipe.shapes.batch == "dynamic" and not cached,
            length=length if isinstance(length, int) else config.n_positions,
            dynamic_length=length == "dynamic" or cached,
            cached=cached,
        )


@dataclass(frozen=True)
class CacheDtype:
    """The dtype of a language model's keys and values.

    Attributes:
        reason: why it differs from the request; "" where it does not.
        static: whether int8 has one scale per channel, fixed at export; else one per token, at run time.
    """

    dtype: Literal["float32", "int8"]
    reason: str = ""
    static: bool = False
