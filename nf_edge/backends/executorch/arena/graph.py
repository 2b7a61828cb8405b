"""A program's graph as ExecuTorch plans it: nodes, the order in which they run, and lifetimes of tensors."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

# `executorch.exir.tensor.ALIGNMENT`: the size of a planned tensor is a multiple of this.
ALIGNMENT = 16


def aligned(size: int) -> int:
    """The bytes that a tensor of `size` bytes takes in an arena."""
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass(eq=False)
class PlannedTensor:
    """A tensor in the arena.

    Attributes:
        size: bytes, a multiple of `ALIGNMENT`.
        first: position of the first node that names the tensor; -1 before `Graph.tensors` sets it.
        last: position of the last node that names the tensor.
    """

    size: int
    first: int = -1
    last: int = -1


@dataclass(eq=False)
class Node:
    """A node of the graph: an input, a constant, an operator, a delegate, a view or a selected output.

    Attributes:
        inputs: the nodes whose results this node reads.
        tensors: the tensors of the result; a view has those of its input, a constant has none.
        users: the nodes that read the result, in the order of their definition.
    """

    inputs: tuple["Node", ...]
    tensors: tuple[PlannedTensor, ...]
    users: list["Node"] = field(default_factory=list)


class Graph:
    """Collects the nodes of a program in the order of their definition.

    Attributes:
        buffers: the tensors of the buffers that the program changes.
        delegates: number of delegates.
        kernels: number of operators outside delegates.
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self.buffers: list[PlannedTensor] = []
        self.delegates = self.kernels = 0

    def constant(self) -> Node:
        """Add a weight; it has no place in the arena."""
        return self._add((), ())

    def input(self, size: int) -> Node:
        """Add an input of `size` bytes."""
        return self._made((), size)

    def buffer(self, size: int) -> Node:
        """Add a buffer of `size` bytes that the program changes; it is in use all the time."""
        node = self._made((), size)
        self.buffers += node.tensors
        return node

    def op(self, inputs: Sequence[Node], *sizes: int) -> Node:
        """Add an operator outside delegates, with one output for each of `sizes`, in bytes."""
        self.kernels += 1
        return self._made(inputs, *sizes)

    def view(self, of: Node, *others: Node) -> Node:
        """Add an operator whose result takes no new memory: it is in the memory of `of`.

        The operator is a view of `of`, or updates `of` in place from `others`.
        """
        self.kernels += 1
        return self._add((of, *others), of.tensors)

    def select(self, of: Node, index: int = 0) -> Node:
        """Add a node that selects one output of the node `of`, by its index."""
        return self._add((of,), of.tensors[index : index + 1])

    def delegate(self, inputs: Sequence[Node], size: int) -> Node:
        """Add a delegate with one output of `size` bytes, and return the node that selects this output."""
        return self.delegate_of(inputs, size)[0]

    def delegate_of(self, inputs: Sequence[Node], *sizes: int) -> list[Node]:
        """Add a delegate with outputs of these sizes in bytes; return one node per output that selects it."""
        self.delegates += 1
        node = self._made(inputs, *sizes)
        return [self.select(node, index) for index in range(len(sizes))]

    def tensors(self, outputs: Sequence[Node]) -> list[PlannedTensor]:
        """The tensors of the program that returns `outputs`, with lifetimes, in the order of their creation.

        A lifetime reaches from the first to the last node that names the tensor (`update_tensor_lifetime` in
        executorch/exir/memory_planning.py).
        """
        self._add(tuple(outputs), ())
        order = self._order()
        tensors = dict.fromkeys(tensor for node in order for tensor in node.tensors)
        for position, node in enumerate(order):
            for tensor in (*node.tensors, *(each for read in node.inputs for each in read.tensors)):
                if tensor.first < 0:
                    tensor.first = position
                tensor.last = position
        for buffer in self.buffers:
            buffer.last = len(order) - 1
        return list(tensors)

    def _order(self) -> list[Node]:
        """The nodes in the order in which they run.

        A node enters a first-in, first-out queue as soon as all of its inputs have run.  Partitioning sorts a
        graph by the same rule (`legalize_graph` in torch/fx/passes/tools_common.py).
        """
        missing = {node: len(set(node.inputs)) for node in self._nodes}
        ready, order = deque(node for node in self._nodes if not missing[node]), []
        while ready:
            node = ready.popleft()
            order.append(node)
            for user in node.users:
                missing[user] -= 1
                if not missing[user]:
                    ready.append(user)
        return order

    def _made(self, inputs: Sequence[Node], *sizes: int) -> Node:
        tensors = (PlannedTensor(aligned(size)) for size in sizes)
        return self._add(tuple(inputs), tuple(tensors))

    def _add(self, inputs: tuple[Node, ...], tensors: tuple[PlannedTensor, ...]) -> Node:
        node = Node(inputs, tensors)
        for read in dict.fromkeys(inputs):
            read.users.append(node)
        self._nodes.append(node)
        return node
