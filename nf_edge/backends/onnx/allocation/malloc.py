"""Simulate the resident pages of large heap blocks in glibc's malloc.

Rules and constants are from malloc/malloc.c of glibc: `sysmalloc`, `systrim`, `_int_free` and
`DEFAULT_MMAP_THRESHOLD_MAX`.  Small blocks are not simulated; a caller allocates their sum.
"""

from dataclasses import dataclass

MMAP_THRESHOLD, MMAP_THRESHOLD_MAX = 128 << 10, 32 << 20
TOP_PAD, PAGE, HEADER = 128 << 10, 4096, 16


@dataclass
class Block:
    """One block of memory.

    Attributes:
        address: the block's offset in the heap; None if a separate mapping holds the block.
        size: bytes of the block.
        touched: bytes from the block's start that were written, so that their pages are resident.
    """

    address: int | None
    size: int
    touched: int = 0


class Malloc:
    """Simulates a heap that grows at its top, and separate mappings for large blocks.

    A block takes the smallest free block that fits.

    Attributes:
        peak: the largest number of bytes that were resident at once.
    """

    def __init__(self) -> None:
        self._free: list[list[int]] = []  # [address, size], by address
        self._top = self._touched = self._limit = self._mapped = 0
        self._threshold, self._trim = MMAP_THRESHOLD, 2 * MMAP_THRESHOLD
        self.peak = 0

    @property
    def resident(self) -> int:
        return self._touched + self._mapped

    @property
    def free_resident(self) -> int:
        """Bytes of free blocks that stay resident, including free memory at the heap's top."""
        return sum(size for _, size in self._free) + max(0, self._touched - self._top)

    def allocate(self, size: int, aligned: int = 0, touched: int | None = None, fresh: bool = False) -> Block:
        """Allocate a block of `size` bytes.

        Args:
            aligned: alignment of the block in bytes, for which it needs more room; 0 is malloc's alignment.
            touched: bytes that are written immediately; None is all of them.
            fresh: whether the block takes no free block.
        """
        block = self._place(size + HEADER, size + HEADER + 2 * aligned, [] if fresh else self._free)
        self.touch(block, size if touched is None else touched)
        return block

    def restart_peak(self) -> None:
        """Set `peak` to the bytes that are resident now."""
        self.peak = self.resident

    def fence(self, size: int) -> None:
        """Allocate a small block at the heap's top that is never freed, so that large blocks around it never
        join.
        """
        self._top += size
        self._touched = max(self._touched, self._top)
        self.peak = max(self.peak, self.resident)

    def touch(self, block: Block, size: int) -> None:
        """Write the first `size` bytes of a block, so that their pages become resident."""
        size = min(size, block.size)
        if block.address is None:
            self._mapped += max(0, size - block.touched)
        else:
            self._touched = max(self._touched, block.address + size)
        block.touched = max(block.touched, size)
        self.peak = max(self.peak, self.resident)

    def _place(self, size: int, need: int, holes: list[list[int]]) -> Block:
        fitting = [hole for hole in holes if hole[1] >= need]
        if fitting:
            hole = min(fitting, key=lambda each: each[1])
            block = Block(hole[0], size)
            hole[0], hole[1] = hole[0] + size, hole[1] - size
            self._free = [each for each in self._free if each[1] > 0]
            return block
        if self._limit - self._top < need:
            if need >= self._threshold:
                return Block(None, _pages(need))
            self._limit = _pages(self._top + need + TOP_PAD)
        block = Block(self._top, size)
        self._top += size
        return block

    def free(self, block: Block) -> None:
        if block.address is None:
            self._mapped -= block.touched
            if self._threshold < block.size <= MMAP_THRESHOLD_MAX:
                self._threshold, self._trim = block.size, 2 * block.size
            return
        self._free = _merged([*self._free, [block.address, block.size]])
        address, size = self._free[-1]
        if address + size == self._top:
            self._free.pop()
            self._top = address
            if self._limit - self._top > self._trim:
                self._limit = _pages(self._top + TOP_PAD)
                self._touched = min(self._touched, self._limit)


def _pages(size: int) -> int:
    """Round a number of bytes up to complete pages."""
    return -(-size // PAGE) * PAGE


def _merged(holes: list[list[int]]) -> list[list[int]]:
    """Sort free blocks [address, size] by address, and join neighbours."""
    result: list[list[int]] = []
    for address, size in sorted(holes):
        if result and sum(result[-1]) == address:
            result[-1][1] += size
        else:
            result.append([address, size])
    return result
