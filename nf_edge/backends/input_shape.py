"""Names, shapes and dtypes of a model file's inputs and of its cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

if TYPE_CHECKING:
    import numpy as np

INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
# The name of a language model's keys and values in reports.
KV_CACHE = "KV cache"
# One pair (`input_ids`, `attention_mask`) per row, int64 [1, T] each.
Inputs = Sequence[tuple["np.ndarray", "np.ndarray"]]


@dataclass(frozen=True)
class InputShape:
    """The shape [batch, length] of the inputs.

    Attributes:
        any_batch: whether the number of rows is free; otherwise it is 1.
        length: the number of tokens; with a cache, the number of positions.
        dynamic_length: whether a row may have 1 to `length` tokens; otherwise it has `length`.
        cached: whether the input is one row of new tokens that follow the tokens in a cache.
        rows: the number of rows in the largest run.
    """

    any_batch: bool
    length: int
    dynamic_length: bool
    cached: bool
    rows: int = 1

    @classmethod
    def of(cls, recipe: Recipe, config: ModelConfig) -> "InputShape":
        """The input shape that a recipe requests.

        Raises:
            BadInput: the recipe requests more tokens than the model has positions.
        """
        length = recipe.shapes.length
        if isinstance(length, int) and length > config.n_positions:
            raise BadInput(
                f"shapes.length is {length}, but the model has only {config.n_positions} positions",
                where=f"recipe {recipe.name}",
            )
        cached = config.is_language_model and recipe.logits == "last"
        return cls(
            any_batch=recipe.shapes.batch == "dynamic" and not cached,
            length=length if isinstance(length, int) else config.n_positions,
            dynamic_length=length == "dynamic" or cached,
            cached=cached,
        )

    def outputs_one_token(self, config: ModelConfig) -> bool:
        """Whether the last layer computes only one token.

        It is the last token of a language model with a cache, or the token that a classifier pools.
        """
        return self.cached if config.is_language_model else config.outputs_one_token


@dataclass(frozen=True)
class CacheDtype:
    """The dtype of a language model's keys and values.

    Attributes:
        reason: the reason why the dtype differs from the request; "" if it does not.
        static: whether int8 has one scale per channel, fixed at export; otherwise one per token at run time.
    """

    dtype: Literal["float32", "int8"]
    reason: str = ""
    static: bool = False
