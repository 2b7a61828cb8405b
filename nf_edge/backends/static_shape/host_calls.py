"""List the operator calls of a static-shape program outside its layers, before lowering.

They are the calls of the modules in `form.py`.  The number of a program's values decides how much memory its
loader needs.  Each call counts its results and scratch, its scalars, and the constants and views that only
this call reads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nf_edge.backends.executorch.method_allocator import (
    CHAIN,
    DELEGATE,
    HANDLE,
    INSTRUCTION,
    POINTER,
    VALUE,
    MethodAllocator,
)
from nf_edge.model import ModelConfig

INPUTS = 2


@dataclass(frozen=True)
class Call:
    """A call of an operator.

    Attributes:
        operator: the operator's name in the program.
        arguments: the number of its arguments, including results.
        ranks: ranks of the planned tensors that this call adds: results, scratch and views.
        scalars: how many numbers, flags and absent arguments it has.
        lists: lengths of its lists of integers; each integer is a value of the program too.
        tensor_lists: lengths of its lists of tensors.
        constants: ranks of the constants that this call adds.
        absent: how many of its scalars and of the integers in its lists are None, 0 or False.
    """

    operator: str
    arguments: int
    ranks: tuple[int, ...]
    scalars: int = 0
    lists: tuple[int, ...] = ()
    tensor_lists: tuple[int, ...] = ()
    constants: tuple[int, ...] = ()
    absent: int = 0

    @property
    def values(self) -> int:
        """The number of values that this call adds to the program."""
        in_lists = sum(self.lists) + len(self.lists) + len(self.tensor_lists)
        return len(self.ranks) + len(self.constants) + self.scalars + in_lists


def method_bytes(calls: Sequence[Call], delegates: int = 0) -> int:
    """Bytes that ExecuTorch's loader takes from the method allocator for a program with these calls.

    Alignment may add up to 4 bytes per list.

    Args:
        delegates: the number of delegates in the program.
    """
    allocator = MethodAllocator()
    allocator.add(VALUE * (INPUTS + sum(call.values for call in calls)))
    allocator.add(INPUTS, 1)
    for _ in range(INPUTS):
        allocator.add_tensor(2)
    for call in calls:
        for rank in (*call.ranks, *call.constants):
            allocator.add_tensor(rank)
        for length in call.lists:
            allocator.add_integers(length)
        for length in call.tensor_lists:
            allocator.add_tensors(length)
    allocator.add((DELEGATE + HANDLE) * delegates + CHAIN)
    for call in calls:
        allocator.add(INSTRUCTION + POINTER * call.arguments)
    return allocator.used


def embeddings(config: ModelConfig) -> Iterator[Call]:
    """The calls that look up both embeddings and add them.

    If pad tokens end a row, the calls that compute the mask of real tokens come first.
    """
    if config.pooled_token == "last_not_pad" and not config.is_language_model:
        yield Call("aten::ne.Scalar_out", 4, (2,), scalars=1)
        yield _cast()
        yield Call("aten::mul.out", 4, (2,))
        yield Call("aten::mul.out", 4, (2,))
        yield Call("aten::amax.out", 5, (2,), scalars=1, lists=(1,))
        yield Call("aten::le.Tensor_out", 4, (2,))
        yield _cast()
    yield _embedding(3, 0)
    yield _embedding(2, 1)
    yield Call("aten::add.out", 5, (3,), scalars=1)


def answer(config: ModelConfig, output: str) -> Iterator[Call]:
    pooled = config.pooled_token if output == "all" else "first"
    if pooled == "mean":
        yield _cast()
        yield Call("aten::mul.out", 4, (3, 3))
        yield _sum()
        yield _select()
        yield _sum()
        yield Call("aten::div.out", 4, (2,))
    elif pooled == "first":
        yield _select()
    else:
        yield from last_token()
        yield Call("aten::mul.out", 4, (3, 3))
        yield _sum()
    yield Call("aten::permute_copy.out", 4, (2,), lists=(2,), constants=(2,), absent=1)
    yield Call("aten::mm.out", 4, (2,))


def hidden() -> Iterator[Call]:
    """The calls that turn the attention mask into a value that hides padded keys."""
    yield _cast()
    yield Call("dim_order_ops::_to_dim_order_copy.out", 5, (0,), 1, lists=(0,), constants=(0,), absent=1)
    yield Call("aten::sub.out", 5, (2,), scalars=1)
    yield Call("aten::mul.out", 4, (2,), constants=(0,))


def last_token() -> Iterator[Call]:
    """The calls that compute a mask of the last real token from the attention mask."""
    yield _cast()
    yield Call("aten::slice_copy.Tensor_out", 7, (2,), scalars=4)
    yield Call("aten::constant_pad_nd.out", 5, (2,), scalars=1, lists=(2,), absent=1)
    yield Call("aten::sub.out", 5, (2,), scalars=1)


def _embedding(rank: int, indices: int) -> Call:
    constants = (2, 2, *(1,) * indices)
    name = "quantized_decomposed::embedding_byte.dtype_out"
    return Call(name, 9, (rank,), scalars=4, constants=constants, absent=1)


def _cast() -> Call:
    return Call("dim_order_ops::_to_dim_order_copy.out", 5, (2,), scalars=1, lists=(2,), absent=2)


def _sum() -> Call:
    return Call("aten::sum.IntList_out", 6, (2,), scalars=2, lists=(1,), absent=1)


def _select() -> Call:
    return Call("aten::select_copy.int_out", 5, (2,), scalars=2, absent=1)
