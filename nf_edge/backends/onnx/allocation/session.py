"""Simulate the memory of an ONNX Runtime session: first its load, then its runs."""

from dataclasses import dataclass

from nf_edge.backends.onnx.allocation.bfc_arena import ALIGNMENT, BfcArena, Chunk
from nf_edge.backends.onnx.allocation.malloc import Malloc
from nf_edge.backends.onnx.allocation.pattern import Pattern
from nf_edge.backends.onnx.allocation.tape import Tape

# The block that protobuf reads a file in (`kDefaultBlockSize` of google/protobuf/io in ONNX Runtime's build).
READ_BLOCK = 4 << 20
# An aligned block leaves a sliver before and after it.  The thread's cache of malloc keeps the first 7 of
# each size (`TCACHE_FILL_COUNT` of glibc's malloc/malloc.c).  They separate the blocks around them for good.
SLIVER, FENCES = 64, 2 * 7


@dataclass(frozen=True)
class Constant:
    """A constant of an ONNX file, and the copies that kernels pack from it at load.

    Attributes:
        bytes: bytes of the constant.
        copies: bytes of each packed copy.
        keeps: whether the original stays in memory, because an operator without packing reads it.
        folded: bytes of a tensor that is computed from the constant at load and freed once packed; 0 is none.
        order: constants with a lower number are packed earlier, and equal numbers in the order of the file.
        behind: whether a small constant that stays, such as scales, is directly before this one in the heap.
        fresh: whether the copies take no free block.
    """

    bytes: int
    copies: tuple[int, ...] = ()
    keeps: bool = True
    folded: int = 0
    order: int = 0
    behind: bool = False
    fresh: bool = False


class Session:
    """Simulates the allocations of an ONNX Runtime session.

    Attributes:
        heap: the heap of the process.
        arena: the arena that holds the activations of runs.
    """

    def __init__(self, constants: list[Constant], file_bytes: int, structures: int) -> None:
        """Simulate the load of a file.

        Weights are read into strings, copied into tensors one by one, then packed in the graph's order
        (`SessionStateUtils::SaveInitializedTensors` and `SessionState::PrepackConstantInitializedTensors`).
        The original is freed as soon as every kernel that reads it has packed it.

        Args:
            constants: the constants in the order of the file.
            file_bytes: bytes of the file.
            structures: bytes of the session's graph and kernels.
        """
        self.heap = heap = Malloc()
        heap.allocate(structures // 2)  # the graph; kernels and plans come after the tensors
        block = heap.allocate(min(file_bytes, READ_BLOCK))
        strings = [heap.allocate(constant.bytes + 1) for constant in constants]
        heap.free(block)
        tensors = []
        for index, (constant, string) in enumerate(zip(constants, strings, strict=True)):
            if constant.behind or index < FENCES:
                heap.fence(SLIVER)
            tensors.append(heap.allocate(constant.bytes, ALIGNMENT))
            heap.free(string)
        heap.fence(structures - structures // 2)
        for constant, tensor in sorted(zip(constants, tensors, strict=True), key=lambda each: each[0].order):
            folded = heap.allocate(constant.folded, ALIGNMENT) if constant.folded else None
            for size in constant.copies:
                heap.allocate(size, ALIGNMENT, fresh=constant.fresh)
            if folded is not None:
                heap.free(folded)
            if not constant.keeps:
                heap.free(tensor)
        self.arena = BfcArena(heap)
        self._patterns: dict[int, int] = {}
        self._kept: list[Chunk] = []

    def run(self, tape: Tape, shape: int) -> None:
        """Simulate one run.  The application holds the outputs until the next run has ended.

        Args:
            tape: the operators of the run.
            shape: a number that stands for the input's shape; equal numbers share a memory pattern.
        """
        arena, buffers = self.arena, tape.buffers()
        block = arena.allocate(self._patterns[shape]) if shape in self._patterns else None
        pattern, kept, live = Pattern(), [], _Live()
        for step, operator in enumerate(tape.operators):
            for buffer in buffers.get(step, ()):
                chunk = arena.allocate(buffer.bytes) if block is None else None
                live.add(buffer.last, pattern.allocate(buffer.bytes), chunk)
            if operator.kept:
                kept += [arena.allocate(output.bytes) for output in operator.outputs]
            scratch = [arena.allocate(size) for size in operator.scratch]
            if operator.heap:
                self.heap.free(self.heap.allocate(operator.heap))
            for chunk in (*scratch, *live.ended(step, pattern)):
                arena.free(chunk)
        self._patterns[shape] = pattern.bytes
        for chunk in (*self._kept, *([block] if block else [])):
            arena.free(chunk)
        self._kept = kept


class _Live:
    """The activations in use during a run, grouped by the last operator that uses them."""

    def __init__(self) -> None:
        self._by_last: dict[int, list[tuple[tuple[int, int], Chunk | None]]] = {}

    def add(self, last: int, offset: tuple[int, int], chunk: Chunk | None) -> None:
        self._by_last.setdefault(last, []).append((offset, chunk))

    def ended(self, step: int, pattern: Pattern) -> list[Chunk]:
        """Remove the activations whose last operator is `step` from the pattern; return their chunks of the
        arena.
        """
        ended = self._by_last.pop(step, [])
        for offset, _ in ended:
            pattern.free(offset)
        return [chunk for _, chunk in ended if chunk is not None]
