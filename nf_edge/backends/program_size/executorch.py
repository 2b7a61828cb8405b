"""Bytes of a `.pte`: ExecuTorch's program (exir/_serialize/program.fbs, version 1.5) and its segments.

The program lists values, operators, delegates and instructions.  Constants, delegates and named data follow
in segments.  `exir/_serialize/_program.py` aligns segments to 128 bytes, and constants in a segment to 16.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache

from nf_edge.backends.program_size.flatbuffer import OFFSET, aligned, string, table, vector

SEGMENT, CONSTANT, HEADER = 128, 16, 32
BYTE, INT, LONG = 1, 4, 8
# A value or an instruction is a union: its type, and an offset; the list has one more offset.
UNION = table(OFFSET, BYTE) + OFFSET
# `memory_id` and the low half of the offset.
ALLOCATION = table(INT, INT)
# A vtable of each of some 20 types of tables, most with 3 to 6 fields.
VTABLES = 20 * 16
# The description of the two inputs and the output of `forward`, as JSON.
FORWARD = string(308) + string(57) + table(OFFSET, OFFSET)
# Bytes that align a table with a field of 8 bytes, in half of all cases.
TO_LONG = 2


def _number() -> int:
    return UNION + table(LONG)


def _flag() -> int:
    return UNION + table(BYTE)


def _nothing() -> int:
    return UNION + table()


def _text(length: int) -> int:
    return UNION + table(OFFSET) + string(length)


def _numbers(length: int) -> int:
    return UNION + table(OFFSET) + vector(length, LONG)


def _tensors(length: int) -> int:
    return UNION + table(OFFSET) + vector(length, INT)


def _tensor(rank: int, *more: int) -> int:
    # scalar_type, sizes and dim_order; a dimension has one byte in dim_order.
    return UNION + table(BYTE, OFFSET, OFFSET, *more) + vector(rank, INT) + vector(rank, BYTE)


def _activation(rank: int) -> int:
    return _tensor(rank, OFFSET, BYTE) + ALLOCATION


def _constant(rank: int) -> int:
    # The list of constants has an offset for each.
    return _tensor(rank, INT) + LONG


def _call(arguments: int) -> int:
    return UNION + table(INT, OFFSET) + vector(arguments, INT)


OBJECTS: Mapping[str, Callable[..., int]] = {
    "number": _number,
    "flag": _flag,
    "nothing": _nothing,
    "text": _text,
    "numbers": _numbers,
    "tensors": _tensors,
    "activation": _activation,
    "constant": _constant,
    "call": _call,
}
"""Maps a kind of object to its bytes.

Values: a `number` is an Int or a Double; `nothing` is None, 0 or False; `numbers` and `tensors` are lists; an
`activation` is a tensor that the memory plan places; a `constant` is a tensor with data.  A `call` is an
instruction.  The argument is the length of a text or list, the rank of a tensor, or the number of arguments
of a call.
"""


@lru_cache
def object_bytes(kind: str) -> int:
    """Bytes of one object of a program.

    Args:
        kind: a key of `OBJECTS` and its argument; `activation3` is a planned tensor of rank 3.
    """
    name, argument = re.fullmatch(r"([a-z]+)(\d*)", kind).groups()  # type: ignore[union-attr]
    return OBJECTS[name](*([int(argument)] if argument else []))


def objects_bytes(counts: Mapping[str, int]) -> int:
    """Bytes of a program's values and instructions; `counts` maps kinds, such as `call3`, to numbers."""
    return sum(count * object_bytes(kind) for kind, count in counts.items())


def operators_bytes(names: Iterable[str]) -> int:
    """Bytes of the list of operators, from their names with overloads, such as `aten::add.out`."""
    total = 0
    for name in names:
        base, _, overload = name.partition(".")
        total += OFFSET + table(OFFSET, OFFSET) + string(len(base)) + string(len(overload))
    return total


def delegate_bytes(name: str) -> int:
    """Bytes of an entry in the list of delegates: its name, an index of its data, and no options."""
    return OFFSET + table(OFFSET, OFFSET, OFFSET) + string(len(name)) + table(BYTE, INT) + OFFSET


def segment_bytes() -> int:
    """Bytes of an entry in the list of segments: offset and size."""
    return OFFSET + table(LONG, LONG) + 2 * TO_LONG


def named_bytes(key: int) -> int:
    """Bytes of an entry in the list of named data; `key` is the number of characters of its key."""
    return OFFSET + table(OFFSET, INT) + string(key)


def constant_method_bytes(name: str) -> int:
    """Bytes of a method that returns a number, such as `get_vocab_size`."""
    method = OFFSET + table(*[OFFSET] * 8) + string(len(name)) + 4 * vector(0, INT)
    outputs = vector(1, INT) + string(0) + string(57) + table(OFFSET, OFFSET)
    chain = OFFSET + table(*[OFFSET] * 3) + 3 * vector(0, INT)
    return method + outputs + chain + _number() + vector(1, LONG)


def base_bytes(methods: Iterable[str] = ()) -> int:
    """Bytes of a program without values, instructions, operators, delegates and segments.

    Args:
        methods: names of methods that return a number.
    """
    root = HEADER + OFFSET + table(INT, *[OFFSET] * 4) + VTABLES
    forward = (
        table(*[OFFSET] * 8) + FORWARD + string(len("forward")) + table(*[OFFSET] * 3) + 8 * vector(1, INT)
    )
    return root + forward + sum(map(constant_method_bytes, methods))


def padding(sizes: Iterable[int], alignment: int) -> int:
    """The total bytes of padding if each of these sizes is rounded up to a multiple of `alignment`."""
    return sum(aligned(size, alignment) - size for size in sizes)
