"""Bytes of an ONNX graph: protobuf messages (onnx.proto, protobuf.dev/programming-guides/encoding).

A field has a tag of one byte (two from field 16 on).  A string or a message also has its length, as a varint.
"""

from collections import Counter
from collections.abc import Sequence

Shape = Sequence[int | str]
"""Lengths of a tensor's axes; a name stands for a length that is free."""
FLOAT = 5
"""Bytes of a float field, with its tag."""
# An attribute's `type` is field 20: a tag of two bytes, and the value.
TYPE = 3
# onnx.save_model writes tensors of at least this many bytes with `data_location`, if ONNX Runtime quantizes.
LARGE = 1024


def varint(value: int) -> int:
    """Bytes of an unsigned integer: 7 bits in each; a negative integer has 10."""
    return 10 if value < 0 else max(1, -(-value.bit_length() // 7))


def message(size: int) -> int:
    """Bytes of a field with a string or a message of `size` bytes."""
    return 1 + varint(size) + size


def integer(name: str, value: int) -> int:
    """Bytes of an integer attribute."""
    return message(message(len(name)) + 1 + varint(value) + TYPE)


def real(name: str) -> int:
    """Bytes of a float attribute."""
    return message(message(len(name)) + FLOAT + TYPE)


def integers(name: str, *values: int) -> int:
    """Bytes of an attribute that is a list of integers."""
    return message(message(len(name)) + sum(1 + varint(value) for value in values) + TYPE)


def text(name: str, value: str) -> int:
    """Bytes of an attribute that is a string."""
    return message(message(len(name)) + message(len(value)) + TYPE)


def value_info(name: str, shape: Shape) -> int:
    """Bytes of a tensor's name, dtype and shape."""
    axes = sum(message(message(len(axis)) if isinstance(axis, str) else 1 + varint(axis)) for axis in shape)
    return message(message(len(name)) + message(message(2 + message(axes))))


class Graph:
    """Counts the bytes of a graph while it is described, node by node.

    Names have the exporter's form: the operator's name and, from its second use on, a number.

    Attributes:
        bytes: bytes of all nodes, names and shapes, and of the initializers' headers.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._uses = Counter[str]()
        self._constants = set[str]()
        self._values = self._sums = 0

    def name(self, base: str) -> str:
        """A new name for the result of an operator."""
        uses = self._uses[base]
        self._uses[base] += 1
        return f"{base}_{uses}" if uses else base

    def value(self) -> str:
        """A new name for a tensor that has no name in the program.  About half of the numbers are skipped."""
        self._values += 2
        return f"val_{self._values}"

    def has(self, constant: str) -> bool:
        """Whether the graph already has an initializer of this name."""
        return constant in self._constants

    def sum_name(self, base: str = "add") -> str:
        """A new name for a sum; the exporter also numbers the expressions of shapes, some 40 per sum."""
        self._sums += 40
        return f"{base}_{self._sums}"

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        output: str | Sequence[str],
        shape: Shape | None = None,
        attributes: int = 0,
        name: str = "",
        domain: str = "",
    ) -> str:
        """Count a node, and return the name of its first output.

        Args:
            shape: the shape of each output; None: the file has no shape for it.
            attributes: bytes of all attributes.
            name: the node's name; "": the exporter's name.
        """
        outputs = [output] if isinstance(output, str) else output
        self.bytes += message(
            sum(message(len(each)) for each in (*inputs, *outputs))
            + message(len(name or f"node_{outputs[0]}"))
            + message(len(operator))
            + (message(len(domain)) if domain else 0)
            + attributes
        )
        if shape is not None:
            self.bytes += sum(value_info(each, shape) for each in outputs)
        return outputs[0]

    def constant(
        self,
        name: str,
        shape: Sequence[int],
        data: int,
        *,
        raw: bool = True,
        shown: bool = True,
        extra: int = 0,
    ) -> str:
        """Count an initializer without its data, and return its name.

        Args:
            data: bytes of its data.
            shown: whether the file also lists its shape.
            extra: bytes of more fields.
        """
        self._constants.add(name)
        header = message(len(name)) + sum(1 + varint(axis) for axis in shape) + 2 + extra
        content = message(data) if data else 0
        self.bytes += message(header + content) - data
        if shown:
            self.shape(name, shape)
        return name

    def shape(self, name: str, shape: Shape) -> None:
        """Count a tensor's name, dtype and shape."""
        self.bytes += value_info(name, shape)
