"""The memory of files that compile-only backends write."""

from typing import ClassVar

from nf_edge.backends.executorch.arena.one_delegate import delegate_arena
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.tensor_sizes import Sizes
from nf_edge.model import ModelConfig

# Bytes of a float16 value.
HALF = 2


class CompileOnlySpec(BackendSpec):
    runtime_memory = RuntimeMemory()
    notes: ClassVar[tuple[str, ...]]
    """Notes about memory that the plan does not include."""

    def _predicted(
        self, config: ModelConfig, input_shape: InputShape, sizes: Sizes, program: int, weights: int
    ) -> MemoryPlan:
        """The memory of a model file, predicted before lowering.

        Args:
            sizes: numbers of elements in the tensors of the model.
            program: bytes of the file without weights.
            weights: bytes of the weights.
        """
        workspace = HALF * (2 * sizes.scores + 6 * sizes.hidden + 2 * sizes.inner)
        return self._account(program, weights, delegate_arena(config, input_shape), workspace)

    def _account(self, program: int, weights: int, arenas: int, workspace: int | None) -> MemoryPlan:
        return MemoryPlan(
            program=program,
            weights=weights,
            # The delegate contains the tables.
            embeddings=0,
            mapped=program + weights,
            loaded=0,
            cache=0,
            arenas=arenas,
            workspace=workspace,
            notes=self.notes,
        )
