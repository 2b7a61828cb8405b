"""The arena of a program, predicted to the byte, and the heap of its loaded method."""

from dataclasses import dataclass

from nf_edge.backends.executorch.arena.fixed_program import FixedProgram
from nf_edge.backends.executorch.arena.fused_program import FusedProgram
from nf_edge.backends.executorch.arena.graph import PlannedTensor
from nf_edge.backends.executorch.arena.greedy import greedy_bytes
from nf_edge.backends.executorch.arena.matmul_program import MatmulProgram
from nf_edge.backends.input_shape import InputShape
from nf_edge.model import ModelConfig

# `apply_algo` in executorch/exir/memory_planning.py adds these bytes if a program calls XNNPACK.
XNNPACK_PADDING = 64
# Heap of a loaded method, of each of its delegates, and of each operator outside delegates.  Measured with
# ExecuTorch 1.5.1 on x86-64 with 75 programs of 1 to 4 layers; single programs differ by up to 25 %.
METHOD, DELEGATE, KERNEL = 25_100, 2_060, 1_940


@dataclass(frozen=True)
class ProgramMemory:
    """The memory of a program, in bytes.

    Attributes:
        arena: activations and the cache.
        method: heap that the loaded method needs in addition to weights.
    """

    arena: int
    method: int


def method_bytes(delegates: int, kernels: int) -> int:
    """Bytes of heap of a loaded method with so many delegates and operators, without weights."""
    return METHOD + DELEGATE * delegates + KERNEL * kernels


def matmul_memory(config: ModelConfig, input_shape: InputShape) -> ProgramMemory:
    """The memory of a program whose attention is in XNNPACK."""
    program = (MatmulProgram if input_shape.dynamic_length else FixedProgram)(config, input_shape)
    tensors, graph = program.tensors(), program.graph
    end = max(tensor.last for tensor in tensors)
    # ExecuTorch reserves the cache again at the end; `executorch/memory_planning.py` avoids that if it helps.
    again = [PlannedTensor(buffer.size, end, end) for buffer in graph.buffers]
    arena = min(greedy_bytes(tensors), greedy_bytes([*tensors, *again])) + XNNPACK_PADDING
    return ProgramMemory(arena, method_bytes(graph.delegates, graph.kernels))


def fused_memory(config: ModelConfig, input_shape: InputShape, int8_cache: bool) -> ProgramMemory:
    """The memory of a program with nf-edge's operators."""
    program = FusedProgram(config, input_shape, int8_cache)
    arena = greedy_bytes(program.tensors()) + XNNPACK_PADDING
    return ProgramMemory(arena, method_bytes(program.graph.delegates, program.graph.kernels))
