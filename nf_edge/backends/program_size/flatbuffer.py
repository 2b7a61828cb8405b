"""Bytes of objects in a FlatBuffers file (flatbuffers.dev/internals).

A table has a 4-byte offset to its vtable, and then its fields.  Tables of one type and with the same fields
share a vtable.  A field with its default value takes no bytes.
"""

OFFSET = 4
"""Bytes of an offset to another object, and of a vector's length."""


def aligned(size: int, alignment: int) -> int:
    """The smallest multiple of `alignment` that is at least `size`."""
    return -(-size // alignment) * alignment


def table(*fields: int) -> int:
    """Bytes of a table whose fields have these sizes in bytes, without its vtable."""
    return aligned(OFFSET + sum(fields), OFFSET)


def vtable(fields: int) -> int:
    """Bytes of the vtable of a table type; `fields` counts its fields up to the last one in use."""
    return aligned(2 * (2 + fields), OFFSET)


def vector(length: int, element: int) -> int:
    """Bytes of a vector: its length, and `length` elements of `element` bytes each."""
    size = aligned(OFFSET, element) + length * element if element > OFFSET else OFFSET + length * element
    return aligned(size, OFFSET)


def string(length: int) -> int:
    """Bytes of a string with `length` characters: its length, its characters and a zero byte."""
    return aligned(OFFSET + length + 1, OFFSET)
