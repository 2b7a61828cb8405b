"""ExecuTorch's greedy planner: the size of the arena for a list of tensors."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from nf_edge.backends.executorch.arena.graph import PlannedTensor


@dataclass
class _Block:
    """A part of the arena that tensors share.

    Attributes:
        steps: a bit per step; 1 if a tensor of the block is in use in this step.
        tensors: the offset of each tensor's end in the block, and the tensor's steps as bits.
    """

    size: int
    steps: int = 0
    tensors: list[tuple[int, int]] = field(default_factory=list)

    def add(self, offset: int, size: int, steps: int) -> None:
        self.steps |= steps
        self.tensors.append((offset + size, steps))

    def offset_for(self, steps: int) -> int:
        """The end of the last tensor that is in use in one of `steps`."""
        return max(end for end, in_use in self.tensors if in_use & steps)


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
                offset = block.offset_for(steps)
                if 0 < offset <= block.size - tensor.size:
                    block.add(offset, tensor.size, steps)
                    break
            else:
                new = _Block(tensor.size)
                new.add(0, tensor.size, steps)
                blocks.append(new)
    return sum(block.size for block in blocks)
