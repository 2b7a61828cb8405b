"""Predict the bytes of an XNNPACK delegate's graph in a `.pte` of ExecuTorch 1.5.

The schema is backends/xnnpack/serialization/schema.fbs.  The graph lists nodes, values and constants;
`xnnpack_graph_serialize.py` puts a header of 32 bytes before it.  Constants are named data of the program.
The key of a constant has the 64 digits of its SHA-256.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache

from nf_edge.backends.program_size.executorch import SEGMENT
from nf_edge.backends.program_size.flatbuffer import OFFSET, string, table, vector, vtable

BYTE, SHORT, INT, LONG = 1, 2, 4, 8
HEADER, ALIGNMENT, KEY = 32, 16, 64
# The key of a scale has a prefix.
SCALE_KEY = KEY + len("scale_")
# The identifier and the root; version, five lists, and the entry of the empty constant.
GRAPH = 2 * OFFSET + table(INT, *[OFFSET] * 6) + string(1) + 5 * vector(0, INT) + 2 * INT + 20
# Vtables of the graph, a node, a value and a tensor; and of three more types of nodes and tensors.
TYPES = vtable(9) + vtable(3) + vtable(2) + vtable(7) + 3 * vtable(5)
# Vtables of a graph with quantized tensors: the tensor, its two kinds of parameters, and two more nodes.
QUANTIZED_TYPES = vtable(3) + vtable(1) + vtable(4) + vtable(7) + vtable(4) + 3 * vtable(4)
# Bytes that align a graph to 16 and then to 128 bytes, on average.
PADDING = ALIGNMENT // 2 + SEGMENT // 2


def _node(ids: int) -> int:
    # The union's type and offset, and a debug handle.
    return OFFSET + table(OFFSET, BYTE, INT) + table(*[INT] * ids)


def _first(ids: int) -> int:
    # Most nodes are the first of their type in a graph, so they also have a vtable.
    return _node(ids) + vtable(4)


def _shape(rank: int) -> int:
    return _first(2) + INT + OFFSET + vector(rank, INT)


def _value(rank: int, *more: int) -> int:
    # datatype, num_dims, dims, external_id, flags and id_out.
    return OFFSET + table(OFFSET, BYTE) + table(SHORT, INT, OFFSET, INT, INT, *more) + vector(rank, INT)


def _quantized(rank: int, *parameters: int, constant: bool = False) -> int:
    more = (INT,) if constant else ()
    return _value(rank, *more) + table(OFFSET, OFFSET, BYTE) + table(*parameters)


def _data(key: int) -> int:
    # Offset, size and key.
    return OFFSET + table(LONG, LONG, OFFSET) + string(key)


OBJECTS: Mapping[str, Callable[..., int]] = {"node": _first, "shape": _shape, "value": _value}
"""Maps a kind of object to its bytes: a `node` by its number of ids, a node with a `shape` or permutation by
its number of dimensions, or a float32 `value` by its rank.
"""


@lru_cache
def _object(kind: str) -> int:
    name, argument = re.fullmatch(r"([a-z]+)(\d+)", kind).groups()  # type: ignore[union-attr]
    return OBJECTS[name](int(argument))


def objects_bytes(counts: Mapping[str, int]) -> int:
    """Bytes of a graph's nodes and values; `counts` maps kinds, such as `node3`, to numbers."""
    return sum(count * _object(kind) for kind, count in counts.items())


def delegates_bytes(count: int) -> int:
    """Bytes of the graphs of `count` delegates, without nodes and values but with the segments' padding."""
    return count * (HEADER + GRAPH + TYPES + PADDING)


def linear_bytes(bits: int | None, group: bool, activations: str, bias: bool) -> int:
    """Bytes of a linear layer's nodes and of its constants' entries.

    Args:
        bits: bits per stored weight; None is float32.
        group: whether each group of inputs has a scale; otherwise each output channel has one.
        activations: `none`, `int8_dynamic` or `int8_static`.
        bias: whether the layer has a bias.
    """
    size = _node(4) + _data(KEY) * (1 + bias)
    if bits is None:
        return size + _value(2, INT) + bias * _value(1, INT)
    scale = [INT] * (4 if group else 3)
    size += _quantized(2, *scale, constant=True) + _data(SCALE_KEY)
    if activations == "int8_static":
        # Nodes that quantize the input and dequantize the result; the bias has scales too.
        result = 2 * (_node(2) + _quantized(3, INT, INT)) + vtable(5)
        return size + result + bias * (_quantized(1, *scale, constant=True) + _data(SCALE_KEY))
    return size + _node(2) + _quantized(3, INT) + bias * _value(1, INT)


def linear_keys(bits: int | None, activations: str, bias: bool) -> list[int]:
    """Lengths of the keys of a linear layer's constants: weights, scales, bias and the bias's scales.

    Args:
        bits: bits per stored weight; None is float32.
        activations: `none`, `int8_dynamic` or `int8_static`.
        bias: whether the layer has a bias.
    """
    keys = [KEY] if bits is None else [KEY, SCALE_KEY]
    if bias:
        keys += [KEY, SCALE_KEY] if activations == "int8_static" and bits is not None else [KEY]
    return keys
