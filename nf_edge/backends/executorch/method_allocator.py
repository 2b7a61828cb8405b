"""Bytes that ExecuTorch's loader allocates for a method, on a 32-bit core.

The application gives the loader two pools.  The method allocator holds the method's objects; the temporary
allocator is empty again after each instruction.  The rules are those of `Method::init`, `parseTensor` and
`resolve_operator` in ExecuTorch 1.5 (`runtime/executor/method.cpp`, `tensor_parser_portable.cpp`).
"""

from collections.abc import Iterable
from typing import Any

# sizeof on a 32-bit core: EValue, TensorImpl, BackendDelegate, Chain, an ArrayRef, and a list's header.
POINTER, LONG = 4, 8
VALUE, TENSOR, DELEGATE, CHAIN, SPAN, LIST = 16, 32, 40, 16, 8, 12
# An operator's function and the span of its arguments, for each instruction.
INSTRUCTION = POINTER + SPAN
# A `CompileSpec`, and the handle that the Ethos-U delegate allocates.
COMPILE_SPEC, HANDLE = 12, 36
# What `resolve_operator` requires for each argument: a `TensorMeta` and 16 axes.
ARGUMENT_META = 12 + 16


class MethodAllocator:
    """Sums allocations with the alignment of ExecuTorch's `MemoryAllocator`; `used` has the sum in bytes."""

    def __init__(self) -> None:
        self.used = 0

    def add(self, size: int, alignment: int = POINTER) -> None:
        self.used = -(-self.used // alignment) * alignment + size

    def add_tensor(self, rank: int, *, static: bool = True) -> None:
        """Add a tensor: its strides and object; if its shape can change, also its sizes and order of axes.

        Args:
            rank: number of axes.
            static: whether the shape is fixed.
        """
        if not static:
            self.add(POINTER * rank)
            self.add(rank, 1)
        self.add(POINTER * rank)
        self.add(TENSOR)

    def add_integers(self, length: int) -> None:
        """Add a list of `length` integers: pointers to the values, a buffer, and the list's header."""
        self.add(POINTER * length)
        self.add(LONG * length, LONG)
        self.add(LIST)

    def add_tensors(self, length: int, *, optional: bool = False) -> None:
        """Add a list of `length` tensors: pointers to the values, a buffer, and the list's header.

        Args:
            optional: whether elements of the list may be None.
        """
        self.add(POINTER * length)
        self.add((LONG if optional else POINTER) * length)
        self.add(LIST)


def method_bytes(method: Any) -> int:
    """Bytes of the method allocator that loading a parsed method uses.

    Args:
        method: an execution plan of ExecuTorch's schema.
    """
    allocator = MethodAllocator()
    allocator.add(VALUE * len(method.values), LONG)
    allocator.add(len(method.inputs), 1)
    for value in method.values:
        _add_value(allocator, value.val)
    allocator.add(DELEGATE * len(method.delegates), LONG)
    for delegate in method.delegates:
        allocator.add(COMPILE_SPEC * len(delegate.compile_specs))
        allocator.add(HANDLE)
    allocator.add(CHAIN * len(method.chains))
    for chain in method.chains:
        allocator.add(INSTRUCTION * len(chain.instructions))
    for arguments in argument_counts(method):
        allocator.add(POINTER * arguments)
    return allocator.used


def temporary_bytes(argument_counts: Iterable[int]) -> int:
    """Bytes of the temporary allocator that loading requires, from the number of arguments of each operator.

    With a smaller pool, the loader takes this memory from the method allocator and never returns it.
    """
    return ARGUMENT_META * max(argument_counts, default=0)


def argument_counts(method: Any) -> list[int]:
    """The number of arguments of each call in a parsed method."""
    instructions = (instruction for chain in method.chains for instruction in chain.instructions)
    calls = (instruction.instr_args for instruction in instructions)
    return [len(call.args) for call in calls if hasattr(call, "args")]


def _add_value(allocator: MethodAllocator, value: Any) -> None:
    kind = type(value).__name__
    if kind == "Tensor":
        static = int(value.shape_dynamism) == 0
        allocator.add_tensor(len(value.sizes), static=static)
    elif kind == "IntList":
        allocator.add_integers(len(value.items))
    elif kind in ("TensorList", "OptionalTensorList"):
        allocator.add_tensors(len(value.items), optional=kind == "OptionalTensorList")
    elif kind in ("BoolList", "DoubleList", "String"):
        allocator.add(SPAN)
