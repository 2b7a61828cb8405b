"""ExecuTorch's greedy planner: the size of the arena for a list of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from nf_edge.backends.executorch.arena.graph import PlannedTensor


@dataclass
class _Block:
    """A part of the arena that tensors share; its size is in bytes.

    Attributes:
        steps: a bit mask; bit s is 1 if a tensor of the block is in use while node s runs.
        tensors: for each tensor, the offset of its end in the block, and a bit mask of the steps that use it.
    """

    size: int
    steps: int = 0
    tensors: list[tuple[int, int]] = field(default_factory=list)

    def add(self, offset: int, size: int, steps: int) -> None:
        self.steps |= steps
        self.tensors.append((offset + size, steps))

    def room_behind(self, steps: int, size: int) -> int | None:
        """The offset after all tensors in use at `steps`, a bit mask; None if there is no room for `size`
        bytes.
        """
        offset = 0
        for end, in_use in self.tensors:
            if in_use & steps and end > offset:
                offset = end
                if offset + size > self.size:
                    return None
        return offset


def greedy_bytes(tensors: Sequence[PlannedTensor]) -> int:
    """The bytes of the arena that ExecuTorch plans for tensors, which are in the order of their creation.

    The rule is `greedy` and `pick_shared_obj` in executorch/exir/memory_planning.py.  The largest tensor is
    placed first; of equal ones, the newest.  A tensor goes to the start of the first block without a tensor
    in use at the same time.  If there is none, it goes behind such tensors in the first block with enough
    room.  If there is none, it gets a new block.
    """
    blocks: list[_Block] = []
    newest_first = reversed(tensors)
    for tensor in sorted(newest_first, key=lambda each: -each.size):
        steps = (1 << (tensor.last + 1)) - (1 << tensor.first)
        for block in blocks:
            if not block.steps & steps:
                block.add(0, tensor.size, steps)
                break
        else:
            for block in blocks:
                offset = block.room_behind(steps, tensor.size) if block.size > tensor.size else None
                if offset is not None:
                    block.add(offset, tensor.size, steps)
                    break
            else:
                new = _Block(tensor.size)
                new.add(0, tensor.size, steps)
                blocks.append(new)
    return sum(block.size for block in blocks)


def peak_bytes(tensors: Sequence[PlannedTensor]) -> int:
    """The largest number of bytes that are in use at once; no plan is smaller."""
    change = [0] * (max(tensor.last for tensor in tensors) + 2)
    for tensor in tensors:
        change[tensor.first] += tensor.size
        change[tensor.last + 1] -= tensor.size
    return max(accumulate(change))
