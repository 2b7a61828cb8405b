"""The memory of an artifact while its context is shorter than the longest one.  It imports no PyTorch."""

from dataclasses import dataclass
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


def context_length(tokens: int | None, input_shape: InputShape) -> int:
    """The tokens of a context: `tokens`, or the longest context if it is None.

    Raises:
        BadInput: the context is longer than the artifact's longest one.
    """
    if tokens is not None and tokens > input_shape.length:
        raise BadInput(
            f"a context of {tokens} tokens is too long: the artifact takes at most {input_shape.length}",
            fix=f"request at most {input_shape.length} tokens",
        )
    return tokens or input_shape.length


def context_memories(
    spec: BackendSpec, config: ModelConfig, input_shape: InputShape, recipe: Recipe, processor: Processor
) -> tuple[ContextMemory, ...]:
    """The memory of a language model at 1, half and all positions of its cache; empty without a cache."""
    if not input_shape.cached:
        return ()
    longest = spec.predict(config, input_shape, recipe)

    def at(tokens: int) -> ContextMemory:
        plan = spec.at(longest, config, input_shape, recipe, tokens)
        plan = spec.on(plan, config, input_shape, recipe, processor)
        return ContextMemory(tokens, account_of_plan(plan, spec.process_bytes, "predicted").process_total)

    lengths = dict.fromkeys((1, max(1, input_shape.length // 2), input_shape.length))
    return tuple(at(tokens) for tokens in lengths)
