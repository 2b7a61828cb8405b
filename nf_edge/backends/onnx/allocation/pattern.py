"""The memory pattern of a run: the offsets of all activations in one block.

ONNX Runtime records the activations of the first run of a shape.  From the second run on, one block holds all
of them.  Rules are from onnxruntime/core/framework/mem_pattern_planner.h: each activation takes the gap that
leaves the fewest bytes, or the end of the block.
"""

from dataclasses import dataclass, field

ALIGNMENT = 64


@dataclass
class Pattern:
    """Places the activations of a run in one block.

    Attributes:
        bytes: the size of the block for all activations that were placed until now.
    """

    bytes: int = 0
    _live: list[tuple[int, int]] = field(default_factory=list)  # (offset, size), by offset

    def allocate(self, size: int) -> tuple[int, int]:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        gaps, end = [], 0
        for offset, taken in self._live:
            gaps.append((offset - end, end))
            end = max(end, offset + taken)
        gaps.append((self.bytes - end, end))
        fitting = [gap for gap in gaps if gap[0] >= size]
        start = min(fitting)[1] if fitting else end
        self.bytes = max(self.bytes, start + size)
        block = (start, size)
        self._live = sorted([*self._live, block])
        return block

    def free(self, block: tuple[int, int]) -> None:
        self._live.remove(block)
