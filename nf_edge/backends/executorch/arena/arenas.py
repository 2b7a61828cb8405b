"""Predict the arena of a program, to the byte, and the heap of its loaded method."""

from dataclasses import dataclass
from functools import lru_cache

from nf_edge.backends.executorch.arena.fixed_program import FixedProgram
from nf_edge.backends.executorch.arena.fused_program import FusedProgram
from nf_edge.backends.executorch.arena.graph import PlannedTensor
from nf_edge.backends.executorch.arena.greedy import greedy_bytes, peak_bytes
from nf_edge.backends.executorch.arena.matmul_program import MatmulProgram
from nf_edge.backends.input_shape import InputShape
from nf_edge.model import ModelConfig

# `apply_algo` in executorch/exir/memory_planning.py adds these bytes if a program calls XNNPACK.
XNNPACK_PADDING = 64
# Private pages of a loaded method, of each of its delegates, and of each operator outside delegates.
# Measured with ExecuTorch 1.5.1 on x86-64 with 42 artifacts of 2 to 12 layers, December 2026; single ones
# differ by up to 28 %.
METHOD, DELEGATE, KERNEL = 35_000, 5_330, 1_450


@dataclass(frozen=True)
class ProgramMemory:
    """The predicted memory of an ExecuTorch program, in bytes.

    Attributes:
        arena: planned activations, and the cache if there is one.
        method: heap that the loaded method needs in addition to weights.
    """

    arena: int
    method: int


def method_bytes(delegates: int, kernels: int) -> int:
    """Estimate the bytes of a loaded method, without weights.

    Args:
        delegates: number of delegates that the method calls.
        kernels: number of operators outside delegates.
    """
    return METHOD + DELEGATE * delegates + KERNEL * kernels


def matmul_memory(config: ModelConfig, input_shape: InputShape) -> ProgramMemory:
    """Predict the memory of a program in which XNNPACK computes attention as matrix products."""
    return _matmul_memory(_shape_of(config), input_shape)


def fused_memory(config: ModelConfig, input_shape: InputShape, int8_cache: bool) -> ProgramMemory:
    """Predict the memory of a program in which nf-edge's operators compute attention, norms and GELU.

    Args:
        int8_cache: whether the cache is int8; False is a float32 cache, or no cache.
    """
    return _fused_memory(_shape_of(config), input_shape, int8_cache)


def _shape_of(config: ModelConfig) -> ModelConfig:
    """A copy of the config that can be hashed as the key of a cache: without `id2label`."""
    return config.model_copy(update={"id2label": None})


# Many recipes have the same program, and verdicts for many devices try many lengths.
@lru_cache(maxsize=1024)
def _matmul_memory(config: ModelConfig, input_shape: InputShape) -> ProgramMemory:
    program = (MatmulProgram if input_shape.dynamic_length else FixedProgram)(config, input_shape)
    tensors, graph = program.tensors(), program.graph
    arena = greedy_bytes(tensors)
    if graph.buffers and arena > peak_bytes(tensors):
        # ExecuTorch reserves the cache again at the end; `executorch/memory_planning.py` compares the plans.
        end = max(tensor.last for tensor in tensors)
        again = [PlannedTensor(buffer.size, end, end) for buffer in graph.buffers]
        arena = min(arena, greedy_bytes([*tensors, *again]))
    return ProgramMemory(arena + XNNPACK_PADDING, method_bytes(graph.delegates, graph.kernels))


@lru_cache(maxsize=1024)
def _fused_memory(config: ModelConfig, input_shape: InputShape, int8_cache: bool) -> ProgramMemory:
    program = FusedProgram(config, input_shape, int8_cache)
    arena = greedy_bytes(program.tensors()) + XNNPACK_PADDING
    return ProgramMemory(arena, method_bytes(program.graph.delegates, program.graph.kernels))
