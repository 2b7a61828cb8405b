"""Embedding tables of an ONNX model in 2, 4 and 8 bits; lookup and tied head share one copy.

A tied head is quantized as a matrix first.  The table then uses the matrix's codes, scales and zero points.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array, to_array

from nf_edge.backends.input_shape import INPUTS
from nf_edge.backends.onnx.file import values_of
from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, nearest, pack
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Precision


@dataclass(frozen=True)
class Tables:
    """Names of two tensors in a float32 graph: the token table and the position table."""

    tokens: str
    positions: str


def find_tables(model: ModelProto) -> Tables:
    """Find the tables by their use: tokens are looked up, and positions are added to the result."""
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    lookup = next(
        node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == INPUTS[0]
    )
    tokens, looked_up = lookup.input[0], lookup.output[0]
    addition = next(node for node in model.graph.node if looked_up in node.input)
    (positions,) = (name for name in addition.input if name != looked_up)
    # A program of fixed length may contain only the position rows that it needs, as a constant.
    if positions not in arrays:
        positions = made_by[positions].input[0]
    return Tables(tokens, positions)


def quantize_tables(
    model: ModelProto,
    tables: Tables,
    precision_of: Precisions,
    quantized_weights: Mapping[str, QuantizedWeight],
    shared: bool,
) -> None:
    """Replace the float32 tables in place by quantized tables, as the precisions request.

    Args:
        quantized_weights: weights that are already rounded, by module name.
        shared: whether the token table shares the head's quantized matrix.
    """
    precision = precision_of[TOKENS]
    if precision.stored is not None:
        quantized_weight = None
        if not shared:
            quantized_weight = quantized_weights.get(TOKENS) or _nearest(model, tables.tokens, precision)
        if precision.group:
            _tokens_by_groups(model, tables.tokens, precision, quantized_weight)
        else:
            _tokens_by_rows(model, tables.tokens, precision, quantized_weight)
    if precision_of[POSITIONS].stored is not None:
        _positions(model, tables.positions, _nearest(model, tables.positions, precision_of[POSITIONS]))


def _nearest(model: ModelProto, table: str, precision: Precision) -> QuantizedWeight:
    values = torch.from_numpy(values_of(_initializer(model, table)).copy())
    return nearest(values, precision, signed=True)


def _tokens_by_rows(
    model: ModelProto, tokens: str, precision: Precision, quantized_weight: QuantizedWeight | None
) -> None:
    """Make the token table int8 with one scale per row, and a zero point if asymmetric.

    Args:
        quantized_weight: the rounded table; None uses the head's matrix [D, V], transposed, as the table.
    """
    table, head = f"{TOKENS}.rows", matrix_name(HEAD)
    if quantized_weight is None:
        matrix = _initializer(model, f"{head}_quantized")
        scales, zeros = f"{head}_scale", f"{head}_zero_point"
        _add_constant(model, table, np.ascontiguousarray(to_array(matrix).T))
        model.graph.initializer.remove(matrix)
        model.graph.node.insert(
            0, make_node("Transpose", [table], [matrix.name], f"{table}_head", perm=[1, 0])
        )
    else:
        scales, zeros = f"{TOKENS}.scales", f"{TOKENS}.zeros"
        _add_constant(model, table, quantized_weight.codes.numpy())
        _add_constant(model, scales, quantized_weight.scales[:, 0].numpy())
        if quantized_weight.zeros is not None:
            _add_constant(model, zeros, quantized_weight.zeros[:, 0].numpy())
    lookup = _lookup(model, tokens)
    ids, result = lookup.input[1], lookup.output[0]
    last = _add_constant(model, f"{TOKENS}.last", np.array([-1], dtype=np.int64))
    rows, factors, points = (f"{result}_{part}" for part in ("rows", "scales", "zeros"))
    nodes = [make_node("Gather", [table, ids], [rows], f"{rows}_gather")]
    columns = {scales: factors} if precision.symmetric else {scales: factors, zeros: points}
    for column, row in columns.items():
        nodes += [
            make_node("Gather", [column, ids], [f"{row}_flat"], f"{row}_gather"),
            make_node("Unsqueeze", [f"{row}_flat", last], [row], f"{row}_unsqueeze"),
        ]
    nodes += _scaled(rows, factors, result, "" if precision.symmetric else points)
    replace(model, lookup, nodes)


def _tokens_by_groups(
    model: ModelProto, tokens: str, precision: Precision, quantized_weight: QuantizedWeight | None
) -> None:
    """Make the token table 2, 4 or 8 bits with one scale per group, and a zero point if asymmetric.

    Args:
        quantized_weight: the rounded table; None uses the head's matrix as the table.
    """
    name = matrix_name(HEAD) if quantized_weight is None else matrix_name(TOKENS)
    if quantized_weight is not None:
        add_groups(model, name, precision, quantized_weight)
    table, scales, *zeros = group_names(name, precision)
    lookup = _lookup(model, tokens)
    ids, result = lookup.input[1], lookup.output[0]
    rows, blocks, _ = _initializer(model, table).dims
    # MatMulNBits needs scales with two dimensions, this operator with three.
    shape = _add_constant(model, f"{scales}_shape", np.array([rows, blocks, 1], dtype=np.int64))
    width = np.array([0, 0, blocks * (precision.group or 1)], dtype=np.int64)
    _add_constant(model, f"{result}_shape", width)
    nodes = [make_node("Reshape", [scales, shape], [f"{scales}_blocks"], f"{scales}_reshape")]
    for points in zeros:
        nodes += _unpacked(model, points, precision.stored or 0, shape)
    replace(
        model,
        lookup,
        [
            *nodes,
            make_node(
                "GatherBlockQuantized",
                [table, ids, f"{scales}_blocks", *(f"{points}_blocks" for points in zeros)],
                [f"{result}_blocks"],
                f"{result}_gather",
                domain="com.microsoft",
                bits=precision.stored,
                block_size=precision.group,
                gather_axis=0,
                quantize_axis=2,
            ),
            make_node("Reshape", [f"{result}_blocks", f"{result}_shape"], [result], f"{result}_reshape"),
        ],
    )


def _unpacked(model: ModelProto, points: str, bits: int, shape: str) -> list[NodeProto]:
    """Nodes that unpack MatMulNBits' zero points to one byte each, as the tensor `{points}_blocks`.

    The runtime executes these nodes once, at load.  The lookup reads packed zero points only if the table has
    two dimensions.  The table has three, because a tied head shares it; a second form would be a copy.
    """
    constants: dict[str, np.ndarray] = {
        "shifts": np.arange(0, 8, bits, dtype=np.uint8),
        "mask": np.array(2**bits - 1, dtype=np.uint8),
        "first": np.array([0], dtype=np.int64),
        "second": np.array([1], dtype=np.int64),
        "last": np.array([2], dtype=np.int64),
        "flat": np.array([0, -1], dtype=np.int64),
    }
    for name, value in constants.items():
        _add_constant(model, f"{points}_{name}", value)
    _add_constant(model, f"{points}_count", to_array(_initializer(model, shape))[1:2])
    steps: list[tuple[str, list[str], dict[str, str]]] = [
        ("Unsqueeze", ["last"], {}),
        ("BitShift", ["shifts"], {"direction": "RIGHT"}),
        ("BitwiseAnd", ["mask"], {}),
        ("Reshape", ["flat"], {}),
        ("Slice", ["first", "count", "second"], {}),
    ]
    nodes, given = [], points
    for step, operands, attributes in steps:
        made = f"{points}_{step}"
        nodes.append(
            make_node(step, [given, *(f"{points}_{name}" for name in operands)], [made], made, **attributes)
        )
        given = made
    return [*nodes, make_node("Reshape", [given, shape], [f"{points}_blocks"], f"{points}_reshape")]


def add_groups(model: ModelProto, name: str, precision: Precision, quantized_weight: QuantizedWeight) -> None:
    """Add weights to the model in the layout that ONNX Runtime's operators for groups read.

    Codes are packed as uint8 [N, K/G, G·bits/8], and shifted so that the smallest code is 0.  Scales are
    [N, K/G].  Zero points, if any, are packed and shifted too: uint8 [N, ⌈K/G·bits/8⌉].
    """
    assert precision.stored is not None
    parts = [
        pack(quantized_weight.codes, precision.stored).view(*quantized_weight.scales.shape, -1),
        quantized_weight.scales,
    ]
    if quantized_weight.zeros is not None:
        parts.append(pack(quantized_weight.zeros, precision.stored))
    for part, values in zip(group_names(name, precision), parts, strict=True):
        _add_constant(model, part, values.numpy())


def _positions(model: ModelProto, positions: str, quantized_weight: QuantizedWeight) -> None:
    """Make the position table int8 with one scale per row."""
    table = _add_constant(model, f"{POSITIONS}.rows", quantized_weight.codes.numpy())
    scales = _add_constant(model, f"{POSITIONS}.scales", quantized_weight.scales.numpy())
    reader = _reader(model, positions)
    if reader.op_type in ("Slice", "Gather"):
        selection, result = list(reader.input[1:]), reader.output[0]
        rows, factors = f"{result}_rows", f"{result}_scales"
        replace(
            model,
            reader,
            [
                make_node(reader.op_type, [table, *selection], [rows], f"{rows}_read"),
                make_node(reader.op_type, [scales, *selection], [factors], f"{factors}_read"),
                *_scaled(rows, factors, result),
            ],
        )
    else:
        reader.input[list(reader.input).index(positions)] = f"{positions}_float"
        index = list(model.graph.node).index(reader)
        for node in reversed(_scaled(table, scales, f"{positions}_float")):
            model.graph.node.insert(index, node)


def _scaled(rows: str, factors: str, result: str, zeros: str = "") -> list[NodeProto]:
    """Nodes that dequantize int8 rows: subtract int8 zero points, if any, and multiply by float32 factors."""
    nodes = [_as_float(rows)]
    counted = f"{rows}_float"
    if zeros:
        counted = f"{rows}_counted"
        nodes += [
            _as_float(zeros),
            make_node("Sub", [f"{rows}_float", f"{zeros}_float"], [counted], f"{rows}_subtract"),
        ]
    return [*nodes, make_node("Mul", [counted, factors], [result], f"{result}_scale")]


def _as_float(name: str) -> NodeProto:
    return make_node("Cast", [name], [f"{name}_float"], f"{name}_cast", to=TensorProto.FLOAT)


def _initializer(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _add_constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(from_array(value, name))
    return name


def _lookup(model: ModelProto, table: str) -> NodeProto:
    """The node that looks up rows of a table; a float32 head that reads the table is another node."""
    return next(node for node in model.graph.node if node.op_type == "Gather" and node.input[0] == table)


def _reader(model: ModelProto, name: str) -> NodeProto:
    """The node that reads a float32 table; there is only one."""
    (node,) = (node for node in model.graph.node if name in node.input)
    return node


def replace(model: ModelProto, node: NodeProto, others: Sequence[NodeProto]) -> None:
    """Replace a node by other nodes at the same place."""
    index = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for other in reversed(others):
        model.graph.node.insert(index, other)
