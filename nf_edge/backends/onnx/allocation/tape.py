"""The buffers of a run: which activations share a buffer, and when each buffer is allocated and freed.

Rules are from onnxruntime/core/framework/allocation_planner.cc (`ComputeSingleStreamReusePlan`).  An output
takes the buffer of a dead activation of the same shape, the one that died last.  Otherwise it gets a new
buffer.  No operator that computes a large activation works in place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

# The shape of an activation that the runtime does not know before the run.
UNKNOWN = "?"


@dataclass
class Value:
    """An activation.

    Attributes:
        shape: a text; equal texts mean equal shapes, except `UNKNOWN`.
        bytes: bytes of the activation.
        readers: indices of the operators that read it.
    """

    shape: str
    bytes: int
    readers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Operator:
    """One operator of a run.

    Attributes:
        scratch: bytes of each temporary block in the arena.
        kept: whether the outputs are the model's outputs, which the application holds.
        heap: bytes of a temporary block outside the arena; 0 is none.
        layer: the layer of the network that it belongs to.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    scratch: tuple[int, ...]
    kept: bool
    heap: int
    layer: str


@dataclass
class Buffer:
    """A buffer of a run: its bytes, and the indices of the first and the last operator that uses it."""

    bytes: int
    first: int
    last: int


class Tape:
    """Collects the operators of a run, in the order in which they run.

    Attributes:
        layer: the layer of the operators that are appended next.
    """

    def __init__(self) -> None:
        self.operators: list[Operator] = []
        self.layer = ""

    def add(
        self,
        inputs: Sequence[Value],
        shapes: Sequence[tuple[str, int]],
        scratch: Sequence[int] = (),
        kept: bool = False,
        heap: int = 0,
    ) -> tuple[Value, ...]:
        """Append an operator, and return its outputs.

        The other arguments are the attributes of `Operator`.

        Args:
            shapes: for each output, a text that stands for its shape, and its bytes.
        """
        outputs = tuple(Value(*shape) for shape in shapes)
        for value in {id(value): value for value in inputs}.values():
            value.readers.append(len(self.operators))
        self.operators.append(Operator(tuple(inputs), outputs, tuple(scratch), kept, heap, self.layer))
        return outputs

    def one(
        self,
        inputs: Sequence[Value],
        shape: tuple[str, int],
        scratch: Sequence[int] = (),
        heap: int = 0,
    ) -> Value:
        """Append an operator with one output, and return this output; the arguments are as in `add`."""
        return self.add(inputs, [shape], scratch, heap=heap)[0]

    def buffers(self) -> dict[int, list[Buffer]]:
        """Map the index of an operator to the buffers that it allocates; the model's outputs are left out."""
        plan: dict[int, list[Buffer]] = {}
        of_value: dict[int, Buffer] = {}
        dead: list[tuple[str, Buffer]] = []
        for step, operator in enumerate(self.operators):
            for output in operator.outputs if not operator.kept else ():
                buffer = _reused(dead, output)
                if buffer is None:
                    buffer = Buffer(output.bytes, step, step)
                    plan.setdefault(step, []).append(buffer)
                buffer.last = max([step, *output.readers])
                of_value[id(output)] = buffer
            for value in {id(value): value for value in (*operator.inputs, *operator.outputs)}.values():
                ended = max([step, *value.readers]) == step and id(value) in of_value
                if ended and of_value[id(value)].last == step:
                    dead.append((value.shape, of_value[id(value)]))
        return plan


def _reused(dead: list[tuple[str, Buffer]], output: Value) -> Buffer | None:
    for index in range(len(dead) - 1, -1, -1):
        if dead[index][0] == output.shape != UNKNOWN:
            return dead.pop(index)[1]
    return None
