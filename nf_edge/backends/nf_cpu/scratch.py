"""The scratch memory of nf-edge's attention kernels, by instruction set.

It follows `reserve` in nf_edge/kernels/native: tiles.h, float32.h, int8.h and symmetric_attention.cpp.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from nf_edge.core.device.processor import ARM64, X86, Isas, Processor

# ALIGNMENT of kernel.h, and NF_BLOCK_KEYS, which is the same for all kernels.
ALIGNMENT, KEYS = 64, 64
FLOAT = 4


@dataclass(frozen=True)
class Kernel:
    """The sizes of one kernel, from its kernel_*.cpp and from integer_products.h.

    Attributes:
        needs: the instruction sets that a core must have.
        lanes, vectors, rows, tiles: NF_LANES, NF_TILE_VECTORS, NF_TILE_ROWS and NF_GROUP_TILES.
        depth: SCORE_DEPTH of int8 products; 0: the kernel converts int8 to float32.
        at_once: WORDS_AT_ONCE.
        integer_values: NF_INTEGER_VALUES.
    """

    needs: Isas
    lanes: int
    vectors: int
    rows: int
    tiles: int
    depth: int = 0
    at_once: int = 1
    integer_values: bool = False

    def thread_bytes(self, head_size: int, int8: bool, distances: int) -> int:
        """Scratch bytes of one thread.

        Args:
            distances: relative noise's distances of one head, keys and queries; 0 without that noise.
        """
        size, padded = head_size, _round(head_size, self.rows)
        query, pieces = size, [FLOAT * KEYS * size, FLOAT * KEYS * padded]
        panel = FLOAT * self.lanes * self.vectors
        if int8 and self.depth:
            words = _round(-(-size // self.depth), self.at_once)
            query = words + 2
            values = [FLOAT * KEYS * padded]
            if self.integer_values:
                values = [FLOAT * KEYS // 2 * padded, FLOAT * KEYS, KEYS // 2 * panel]
            pieces = [FLOAT * KEYS * words, FLOAT * KEYS, *values]
        group = (query, padded, 1, 1)
        pieces += [panel * self.tiles * each for each in group]
        pieces += [panel * each for each in (KEYS + self.rows, size, size)]
        if distances:
            pieces.append(FLOAT * (distances + self.tiles * self.lanes * self.vectors))
        return sum(_round(piece, ALIGNMENT) for piece in pieces)


# By architecture, then by the name of the kernel, in order of preference, as in isa.cpp.  The last one runs
# on every core.
KERNELS: dict[str, dict[str, Kernel]] = {
    X86: {
        "avx512vnni": Kernel(
            frozenset({"avx512f", "avx512_vnni"}), 16, 3, 8, 4, depth=4, integer_values=True
        ),
        "avx512": Kernel(frozenset({"avx512f"}), 16, 3, 8, 4),
        "avx2": Kernel(frozenset({"avx2", "fma"}), 8, 3, 4, 8, depth=2, integer_values=True),
        "portable": Kernel(frozenset(), 4, 2, 4, 16),
    },
    ARM64: {
        "neon_i8mm": Kernel(frozenset({"i8mm", "dotprod"}), 4, 3, 8, 16, depth=4, at_once=2),
        "neon_dotprod": Kernel(frozenset({"dotprod"}), 4, 3, 8, 16, depth=4),
        "neon": Kernel(frozenset(), 4, 3, 8, 16),
    },
}


def scratch_bytes(head_size: int, int8: bool, distances: int, processor: Processor) -> int:
    """The scratch bytes of all threads of a processor, with the largest of its kernels."""
    kernels = _kernels(processor)
    largest = max(kernel.thread_bytes(head_size, int8, distances) for kernel in kernels)
    return processor.threads * largest + ALIGNMENT


def _kernels(processor: Processor) -> Iterable[Kernel]:
    """The kernels that a processor may run: the preferred one of each kind of core; all if it is unknown."""
    known = KERNELS.get(processor.architecture)
    if known is None:
        return [kernel for kernels in KERNELS.values() for kernel in kernels.values()]
    if not processor.cores:
        return known.values()
    return [next(each for each in known.values() if each.needs <= core) for core in processor.cores]


def _round(size: int, unit: int) -> int:
    return -(-size // unit) * unit
