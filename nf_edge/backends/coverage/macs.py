"""Multiply-accumulates (MACs) of the operators in a PyTorch graph, computed from the shapes in the graph.

A matrix product or a convolution needs one MAC per output value and summed element.  Fused attention is two
matrix products of all queries with all keys.  Lookups, copies, sums and scalings count as 0.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

# Converts an axis length, which may be symbolic, to a number.
Size = Callable[[int | torch.SymInt], int]
Shape = tuple[int, ...]


def largest(length: int | torch.SymInt) -> int:
    """The largest possible value of an axis length, which may be symbolic."""
    if isinstance(length, int):
        return length
    from executorch.exir.sym_util import eval_upper_bound

    return eval_upper_bound(length)


def qualified_name(node: Node) -> str:
    """The name of a node's operator without its variant, such as `aten::linear`; or its Python function's."""
    target = node.target
    # ExecuTorch wraps the operator in an object with an `_op`.
    operator = target if isinstance(target, torch._ops.OpOverload) else getattr(target, "_op", target)
    schema = getattr(operator, "_schema", None)
    if schema is not None:
        return str(schema.name).rstrip("_")
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def macs_of(node: Node, size: Size = largest) -> int:
    """Multiply-accumulates of one call.

    Args:
        size: converts an axis length, which may be symbolic, to a number; the default is the upper bound.
    """
    count = COUNTS.get(qualified_name(node))
    return 0 if count is None else count(_Call(node, size))


def elements_of(node: Node, size: Size = largest) -> int:
    """Elements of the first result of a call."""
    return math.prod(_Call(node, size).result())


class _Call:
    """The shapes of a call's arguments and results."""

    def __init__(self, node: Node, size: Size) -> None:
        self._node, self._size = node, size

    def argument(self, index: int) -> Any:
        return self._node.args[index]

    def given(self, index: int) -> bool:
        return index < len(self._node.args) and self._node.args[index] is not None

    def shape(self, index: int) -> Shape:
        return self.shape_of(self.argument(index))

    def shape_of(self, node: Node) -> Shape:
        return self._shape(node.meta["val"])

    def results(self) -> list[Shape]:
        value = self._node.meta["val"]
        return [self._shape(tensor) for tensor in (value if isinstance(value, tuple | list) else [value])]

    def result(self) -> Shape:
        return self.results()[0]

    def _shape(self, tensor: torch.Tensor) -> Shape:
        return tuple(self._size(length) for length in tensor.shape)


def _by_last_axis_of(index: int) -> Callable[[_Call], int]:
    """A function that counts the MACs of an operator that sums over the last axis of its argument `index`."""

    def count(call: _Call) -> int:
        return math.prod(call.result()) * call.shape(index)[-1]

    return count


def _convolution(channels: int) -> Callable[[_Call], int]:
    """A function that counts the MACs of a convolution; the weight's output channels are along axis
    `channels`.
    """

    def count(call: _Call) -> int:
        weight = call.shape(1)
        return math.prod(call.result()) * math.prod(weight) // weight[channels]

    return count


def _einsum(call: _Call) -> int:
    """MACs of an einsum: the product of the sizes of all distinct axes."""
    terms = str(call.argument(0)).split("->")[0].split(",")
    sizes = {
        letter: length
        for term, operand in zip(terms, call.argument(1), strict=True)
        for letter, length in zip(term.strip(), call.shape_of(operand), strict=True)
    }
    return math.prod(sizes.values())


def _attention(call: _Call) -> int:
    """MACs of fused attention: query […, Tq, d], key […, Tk, d], value […, Tk, d]."""
    query, key, value = (call.shape(index) for index in range(3))
    return math.prod(query[:-1]) * key[-2] * (key[-1] + value[-1])


def _own_attention(call: _Call) -> int:
    """MACs of `nf::symmetric_attention`: [B, T, parts·H·d] → [B, Tq, H·d]."""
    return _scores_and_values(call, keys=call.shape(0)[1]) + _noise(call, first=1)


def _own_attention_cached(call: _Call) -> int:
    """MACs of `nf::symmetric_attention_cached`, with a full cache [H, capacity, d]."""
    return _scores_and_values(call, keys=call.shape(1)[1]) + _noise(call, first=6)


def _scores_and_values(call: _Call, keys: int) -> int:
    return 2 * math.prod(call.result()) * keys


def _noise(call: _Call, first: int) -> int:
    """MACs of the queries' noise.

    The arguments from index `first` on are A, B [H, d, r] and P [H, d, d] (`NoiseTensors`).  An absent one
    counts 0.
    """
    batch, queries, _ = call.result()
    tensors = (call.shape(index) for index in range(first, first + 3) if call.given(index))
    return batch * queries * sum(math.prod(shape) for shape in tensors)


def _onnx(call: _Call) -> int:
    """MACs of an attention operator of ONNX Runtime.

    Inputs are query, key and value, [B, T, H·d] each, and the past.  The output keys [B, H, Tk, d] include
    the past.
    """
    query, key = (call.shape_of(operand) for operand in call.argument(0)[:2])
    _, *present = call.results()
    return 2 * math.prod(query) * (present[0][2] if present else key[1])


COUNTS: dict[str, Callable[[_Call], int]] = {
    "aten::linear": _by_last_axis_of(0),
    "aten::mm": _by_last_axis_of(0),
    "aten::bmm": _by_last_axis_of(0),
    "aten::matmul": _by_last_axis_of(0),
    "aten::addmm": _by_last_axis_of(1),
    "aten::convolution": _convolution(0),
    "aten::conv2d": _convolution(0),
    "aten::einsum": _einsum,
    "aten::scaled_dot_product_attention": _attention,
    "nf::symmetric_attention": _own_attention,
    "nf::symmetric_attention_cached": _own_attention_cached,
    "cortex_m::quantized_conv2d_nhwc": _convolution(0),
    "cortex_m::quantized_batch_matmul": _by_last_axis_of(0),
    "cortex_m::quantized_linear": _by_last_axis_of(0),
    "onnx_symbolic::_symbolic": _onnx,
    "onnx_symbolic::_symbolic_multi_out": _onnx,
}
