"""Predict the bytes of an ONNX graph in protobuf (onnx.proto, protobuf.dev/programming-guides/encoding).

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
    """Bytes of an integer as a varint: one byte for each 7 bits; 10 bytes if the integer is negative."""
    # Most sizes are small, and a file has ten thousands of them.
    if 0 <= value < 128:
        return 1
    return 10 if value < 0 else -(-value.bit_length() // 7)


def message(size: int) -> int:
    """Bytes of a field that is a string or a message of `size` bytes, including tag and length."""
    return 1 + varint(size) + size


def integer(name: str, value: int) -> int:
    """Bytes of a node's attribute with this name and integer value."""
    return message(message(len(name)) + 1 + varint(value) + TYPE)


def real(name: str) -> int:
    """Bytes of a node's attribute with this name and a float value."""
    return message(message(len(name)) + FLOAT + TYPE)


def integers(name: str, *values: int) -> int:
    """Bytes of a node's attribute with this name and a list of integers."""
    return message(message(len(name)) + sum(1 + varint(value) for value in values) + TYPE)


def text(name: str, value: str) -> int:
    """Bytes of a node's attribute with this name and a string."""
    return message(message(len(name)) + message(len(value)) + TYPE)


def value_info(name: str, shape: Shape) -> int:
    """Bytes of the entry in which a graph lists a tensor's name, dtype and shape."""
    axes = sum(message(message(len(axis)) if isinstance(axis, str) else 1 + varint(axis)) for axis in shape)
    return message(message(len(name)) + message(message(2 + message(axes))))


class Graph:
    """Sums the bytes of an ONNX graph; most methods add one node or constant to the sum.

    New names have the exporter's form: the operator's name and, from its second use on, a number.

    Attributes:
        bytes: bytes of all nodes, names and shapes, and of the initializers' headers.
    """

    def __init__(self) -> None:
        self.bytes = 0
        self._uses = Counter[str]()
        self._constants = set[str]()
        self._values = self._sums = 0

    def name(self, base: str) -> str:
        """A new name for the result of an operator: `base`, then `base_1`, `base_2` and so on."""
        uses = self._uses[base]
        self._uses[base] += 1
        return f"{base}_{uses}" if uses else base

    def value(self) -> str:
        """A new name, such as `val_4`, for a tensor that has no name in the PyTorch program.

        The exporter uses about every second number.
        """
        self._values += 2
        return f"val_{self._values}"

    def has(self, constant: str) -> bool:
        """Whether the graph already has an initializer of this name."""
        return constant in self._constants

    def sum_name(self, base: str = "add") -> str:
        """A new name for a sum, whose number is 40 higher than that of the previous sum.

        The exporter also numbers the expressions of shapes, some 40 for each sum.
        """
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
        """Add the bytes of a node, and return the name of its first output.

        Args:
            shape: the shape of each output; None if the file does not list it.
            attributes: bytes of all attributes.
            name: the node's name; "" is the exporter's name for it.
            domain: the operator's domain; "" is the standard domain.
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
        shown: bool = True,
        extra: int = 0,
    ) -> str:
        """Add the bytes of an initializer without its data, and return its name.

        Args:
            data: bytes of its data.
            shown: whether the file also lists its shape.
            extra: bytes of additional fields.
        """
        self._constants.add(name)
        header = message(len(name)) + sum(1 + varint(axis) for axis in shape) + 2 + extra
        content = message(data) if data else 0
        self.bytes += message(header + content) - data
        if shown:
            self.shape(name, shape)
        return name

    def shape(self, name: str, shape: Shape) -> None:
        """Add the bytes of the entry in which the graph lists a tensor's name, dtype and shape."""
        self.bytes += value_info(name, shape)
