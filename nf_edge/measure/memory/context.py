"""The memory of an artifact at another size of its runs: fewer tokens, or more rows.

This module imports no PyTorch.
"""

from dataclasses import dataclass, replace
from typing import Any

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.spec import BackendSpec
from nf_edge.core.device.processor import Processor
from nf_edge.core.errors import BadInput
from nf_edge.core.figures import Figure
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.plan_account import account_of_plan
from nf_edge.model import ModelConfig


@dataclass(frozen=True)
class ContextMemory:
    """The predicted bytes of a process whose context holds `tokens` tokens."""

    tokens: int
    process: Figure

    def to_json(self) -> dict[str, Any]:
        return {"tokens": self.tokens, "predicted": self.process.to_json()}


def run_shape(input_shape: InputShape, tokens: int | None, rows: int) -> InputShape:
    """The input shape of an artifact's largest run.

    Args:
        input_shape: the input shape of the artifact.
        tokens: tokens in the context; None: the longest context.
        rows: rows in one run.

    Raises:
        BadInput: the context is longer than the artifact's longest one, or it takes only one row.
    """
    if tokens is not None and tokens > input_shape.length:
        raise BadInput(
            f"a context of {tokens} tokens is too long: the artifact takes at most {input_shape.length}",
            fix=f"request at most {input_shape.length} tokens",
        )
    if rows > 1 and not input_shape.any_batch:
        raise _one_row(input_shape, rows)
    return replace(input_shape, length=tokens or input_shape.length, rows=rows)


def _one_row(input_shape: InputShape, rows: int) -> BadInput:
    if input_shape.cached:
        why = "a language model with a cache takes one row"
        fix = "leave out the batch; an application runs one text after another"
    else:
        why = "the recipe exports a file that takes one row"
        fix = "leave out the batch, or use a recipe of onnx_cpu with `batch: dynamic` in `shapes`"
    return BadInput(f"a batch of {rows} rows is too large: {why}", fix=fix)


def context_memories(
    spec: BackendSpec, config: ModelConfig, input_shape: InputShape, recipe: Recipe, processor: Processor
) -> tuple[ContextMemory, ...]:
    """The memory of a language model at 1, half and all positions of its cache; empty without a cache."""
    if not input_shape.cached:
        return ()
    longest = spec.predict(config, input_shape, recipe)

    def at(tokens: int) -> ContextMemory:
        plan = spec.at(longest, config, input_shape, recipe, replace(input_shape, length=tokens))
        plan = spec.on(plan, config, input_shape, recipe, processor)
        return ContextMemory(tokens, account_of_plan(plan, spec.runtime_memory, "predicted").process_total)

    lengths = dict.fromkeys((1, max(1, input_shape.length // 2), input_shape.length))
    return tuple(at(tokens) for tokens in lengths)
