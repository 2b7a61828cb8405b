"""ONNX Runtime's arena of activations.

Rules and constants are from onnxruntime/core/framework/bfc_arena.cc: `Extend` doubles the regions,
`FindChunkPtr` takes the smallest free chunk that fits, and `SplitFreeChunkFromBin` splits only a chunk of at
least twice the size, or with 128 MiB to spare.
"""

from dataclasses import dataclass

from nf_edge.backends.onnx.allocation.malloc import Block, Malloc

GRANULE, FIRST_REGION, MAX_DEAD = 256, 1 << 20, 128 << 20
# A region has one 8-byte handle per granule, all written at once (`AllocationRegion` in bfc_arena.h).
HANDLE = 8
ALIGNMENT = 64


@dataclass
class Chunk:
    """A part of a region: its offset and size in bytes, and whether it is in use."""

    region: Block
    offset: int
    size: int
    used: bool = False


class BfcArena:
    """Simulates ONNX Runtime's arena; its regions come from a heap, and are never returned to it."""

    def __init__(self, heap: Malloc) -> None:
        self._heap = heap
        self._chunks: list[Chunk] = []  # by region, then by offset
        self._regions: list[Block] = []
        self._region_bytes = FIRST_REGION

    @property
    def touched(self) -> int:
        """Bytes of the regions that were written."""
        return sum(region.touched for region in self._regions)

    def allocate(self, size: int) -> Chunk:
        """Allocate a chunk of at least `size` bytes, and write `size` bytes, so that their pages become
        resident.
        """
        rounded = -(-max(size, 1) // GRANULE) * GRANULE
        chunk = self._smallest(rounded)
        if chunk is None:
            self._extend(rounded)
            chunk = self._smallest(rounded)
        assert chunk is not None
        if chunk.size >= 2 * rounded or chunk.size - rounded >= MAX_DEAD:
            rest = Chunk(chunk.region, chunk.offset + rounded, chunk.size - rounded)
            self._chunks.insert(self._index(chunk) + 1, rest)
            chunk.size = rounded
        chunk.used = True
        self._heap.touch(chunk.region, chunk.offset + size)
        return chunk

    def free(self, chunk: Chunk) -> None:
        chunk.used = False
        index = self._index(chunk)
        for first in (index, index - 1):
            if 0 <= first < len(self._chunks) - 1:
                self._join(first)

    def _index(self, chunk: Chunk) -> int:
        return next(i for i, each in enumerate(self._chunks) if each is chunk)

    def _join(self, first: int) -> None:
        """Join the chunk at index `first` with the next chunk, if both are free and in one region."""
        left, right = self._chunks[first], self._chunks[first + 1]
        if not left.used and not right.used and left.region is right.region:
            left.size += right.size
            del self._chunks[first + 1]

    def _smallest(self, size: int) -> Chunk | None:
        fitting = [chunk for chunk in self._chunks if not chunk.used and chunk.size >= size]
        return min(fitting, key=lambda chunk: chunk.size) if fitting else None

    def _extend(self, size: int) -> None:
        doubled = False
        while size > self._region_bytes:
            self._region_bytes *= 2
            doubled = True
        region = self._heap.allocate(self._region_bytes, ALIGNMENT, touched=0)
        self._heap.allocate(self._region_bytes // GRANULE * HANDLE)
        self._chunks.append(Chunk(region, 0, self._region_bytes))
        self._regions.append(region)
        if not doubled:
            self._region_bytes *= 2
