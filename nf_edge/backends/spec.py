"""What is known about a backend without its libraries and without PyTorch: recipes, limits and memory."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import ClassVar

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.support import Support
from nf_edge.core.device.processor import Processor
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig


class BackendSpec(ABC):
    """The recipes that a backend accepts, and the memory of its artifacts before they exist.

    A spec's module imports no PyTorch, so a prediction takes milliseconds.  A `Backend` extends its spec by
    the code that lowers and runs files.
    """

    support: ClassVar[Support]
    runtime_memory: ClassVar[RuntimeMemory]

    @property
    def name(self) -> str:
        return self.support.backend

    @property
    def runtime(self) -> str:
        """The name of the runtime that loads the model file, such as `executorch`."""
        return self.support.runtime

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        """The dtype of the artifact's cache; None if it has no cache.

        Raises:
            BadInput: the recipe requests a cache that this backend does not have.
        """
        if not input_shape.cached:
            return None
        if not self.support.caches:
            raise self.no_cache(recipe)
        return CacheDtype("float32")

    def no_cache(self, recipe: Recipe, why: str = "") -> BadInput:
        """The error for a recipe that requests a cache that this backend does not have.

        Args:
            why: words that name the models without a cache, such as " for models with relative noise"; ""
                means all models.
        """
        return BadInput(
            f"backend {self.name} has no cache{why}, but logits: last needs one",
            where=f"recipe {recipe.name}",
            fix="write logits: all",
        )

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        """Check that a model is not too large for a file of this backend.

        Raises:
            BadInput: the model is too large; the message has its size and the limit.
        """
        return

    @abstractmethod
    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        """The predicted memory of an artifact on any processor, computed before lowering."""

    def on(
        self,
        plan: MemoryPlan,
        config: ModelConfig,
        input_shape: InputShape,
        recipe: Recipe,
        processor: Processor,
    ) -> MemoryPlan:
        """Adapt a predicted plan to the kernels and threads of a processor.

        The plan of most backends does not depend on them.
        """
        return plan

    def takes_fewer_tokens(self, input_shape: InputShape) -> bool:
        """Whether a file computes, and caches, only the tokens that it gets.

        A file with a fixed length computes all of its tokens.  With fixed shapes, the cache is always full.
        """
        return self.support.dynamic_length and input_shape.dynamic_length

    def at(
        self, plan: MemoryPlan, config: ModelConfig, input_shape: InputShape, recipe: Recipe, run: InputShape
    ) -> MemoryPlan:
        """Adapt an artifact's memory plan to runs of another size.

        If the file has a fixed length, fewer tokens only add a note: each run computes all of its tokens.

        Args:
            input_shape: the input shape of the artifact.
            run: the input shape of the largest run.
        """
        if run.length != input_shape.length and not self.takes_fewer_tokens(input_shape):
            size = f"the file has a fixed size of {input_shape.length} tokens"
            note = f"{size}: a shorter context saves no memory"
            plan = replace(plan, notes=(*plan.notes, note))
            run = replace(run, length=input_shape.length)
        return plan if run == input_shape else self._resized(plan, config, run, recipe)

    def _resized(self, plan: MemoryPlan, config: ModelConfig, run: InputShape, recipe: Recipe) -> MemoryPlan:
        """The plan with the free heap, cache, arenas and workspace of the input shape `run`."""
        resized = self.predict(config, run, recipe)
        parts = ("freed", "cache", "arenas", "workspace")
        known = {name: getattr(resized, name) for name in parts if getattr(plan, name) is not None}
        return replace(plan, **known)
