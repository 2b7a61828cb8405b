"""Embedding tables of an ONNX model in int8 and int4; one copy serves the lookup and a tied head.

A tied head's weights are quantized as a matrix before this, so the table takes over what was made of
them: the same bytes and scales, read by both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array, to_array

from nf_edge.backends.base import INPUTS
from nf_edge.recipe import GROUP_SIZE, Quantize


@dataclass(frozen=True)
class Tables:
    """Where the tables are in a float32 graph, by names of tensors.

    Attributes:
        head: the transposed token table, as the tied head multiplies with it; None where untied.
    """

    tokens: str
    positions: str
    head: str | None


def find_tables(model: ModelProto) -> Tables:
    """Find the tables by what is done with them: tokens are looked up, positions are added to those."""
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    made_by = {output: node for node in model.graph.node for output in node.output}
    lookup = next(
        node for node in model.graph.node if node.op_type == "Gather" and node.input[1] == INPUTS[0]
    )
    tokens, looked_up = lookup.input[0], lookup.output[0]
    addition = next(node for node in model.graph.node if looked_up in node.input)
    (positions,) = (name for name in addition.input if name != looked_up)
    # A program of a fixed length may hold the rows that it needs and no more.
    if positions not in arrays:
        positions = made_by[positions].input[0]
    table = to_array(arrays[tokens])
    head = next(
        (
            tensor.name
            for tensor in model.graph.initializer
            if tuple(tensor.dims) == table.shape[::-1] and np.array_equal(to_array(tensor), table.T)
        ),
        None,
    )
    return Tables(tokens, positions, head)


def quantize_tables(model: ModelProto, tables: Tables, how: Quantize) -> None:
    """Replace the float32 tables, in place, by quantized ones."""
    if how.table_dtype(_initializer(model, tables.tokens).dims[1]) == "int4":
        _tokens_int4(model, tables)
    else:
        _tokens_int8(model, tables)
    _positions_int8(model, tables.positions)
    for name in {tables.tokens, tables.positions}:
        model.graph.initializer.remove(_initializer(model, name))


def _tokens_int8(model: ModelProto, tables: Tables) -> None:
    table, scales = f"{tables.tokens}_int8", f"{tables.tokens}_scales"
    shared = f"{tables.head}_quantized"
    # A tied head may have int4 weights of its own.
    if tables.head is None or all(tensor.name != shared for tensor in model.graph.initializer):
        _add_rows_int8(model, tables.tokens, table, scales)
    else:
        matrix = _initializer(model, shared)
        model.graph.initializer.append(from_array(np.ascontiguousarray(to_array(matrix).T), table))
        model.graph.initializer.remove(matrix)
        scales = f"{tables.head}_scale"
        model.graph.node.insert(
            0, make_node("Transpose", [table], [matrix.name], f"{table}_head", perm=[1, 0])
        )
    lookup = _reader(model, tables.tokens)
    ids, result = lookup.input[1], lookup.output[0]
    last = _add_constant(model, f"{tables.tokens}_last", np.array([-1], dtype=np.int64))
    rows, factors = f"{result}_rows", f"{result}_scales"
    _replace(
        model,
        lookup,
        [
            make_node("Gather", [table, ids], [rows], f"{rows}_gather"),
            make_node("Gather", [scales, ids], [factors], f"{factors}_gather"),
            make_node("Unsqueeze", [factors, last], [f"{factors}_column"], f"{factors}_unsqueeze"),
            *_scaled(rows, f"{factors}_column", result),
        ],
    )


def _tokens_int4(model: ModelProto, tables: Tables) -> None:
    if tables.head is None:
        table, scales = _add_groups_int4(model, tables.tokens)
    else:
        table, scales = f"{tables.head}_Q4", f"{tables.head}_scales"
    lookup = _reader(model, tables.tokens)
    ids, result = lookup.input[1], lookup.output[0]
    rows, blocks, _ = _initializer(model, table).dims
    # MatMulNBits takes the scales as a matrix, this operator in three dimensions.
    shape = _add_constant(model, f"{scales}_shape", np.array([rows, blocks, 1], dtype=np.int64))
    width = _add_constant(model, f"{result}_shape", np.array([0, 0, blocks * GROUP_SIZE], dtype=np.int64))
    _replace(
        model,
        lookup,
        [
            make_node("Reshape", [scales, shape], [f"{scales}_blocks"], f"{scales}_reshape"),
            make_node(
                "GatherBlockQuantized",
                [table, ids, f"{scales}_blocks"],
                [f"{result}_blocks"],
                f"{result}_gather",
                domain="com.microsoft",
                bits=4,
                block_size=GROUP_SIZE,
                gather_axis=0,
                quantize_axis=2,
            ),
            make_node("Reshape", [f"{result}_blocks", width], [result], f"{result}_reshape"),
        ],
    )


def _positions_int8(model: ModelProto, positions: str) -> None:
    table, scales = f"{positions}_int8", f"{positions}_scales"
    _add_rows_int8(model, positions, table, scales, column=True)
    reader = _reader(model, positions)
    if reader.op_type in ("Slice", "Gather"):
        bounds, result = list(reader.input[1:]), reader.output[0]
        rows, factors = f"{result}_rows", f"{result}_scales"
        _replace(
            model,
            reader,
            [
                make_node(reader.op_type, [table, *bounds], [rows], f"{rows}_read"),
                make_node(reader.op_type, [scales, *bounds], [factors], f"{factors}_read"),
                *_scaled(rows, factors, result),
            ],
        )
    else:
        reader.input[list(reader.input).index(positions)] = f"{positions}_float"
        index = list(model.graph.node).index(reader)
        for node in reversed(_scaled(table, scales, f"{positions}_float")):
            model.graph.node.insert(index, node)


def _scaled(rows: str, factors: str, result: str) -> list[NodeProto]:
    """int8 rows times their float32 factors."""
    return [
        make_node("Cast", [rows], [f"{rows}_float"], f"{rows}_cast", to=TensorProto.FLOAT),
        make_node("Mul", [f"{rows}_float", factors], [result], f"{result}_scale"),
    ]


def _add_rows_int8(model: ModelProto, name: str, table: str, scales: str, column: bool = False) -> None:
    """Quantize a float32 table row by row into two new initializers."""
    values = to_array(_initializer(model, name))
    factors = np.maximum(np.abs(values).max(axis=1, keepdims=True), np.finfo(np.float32).tiny) / 127
    codes = np.rint(values / factors).astype(np.int8)
    _add_constant(model, table, codes)
    _add_constant(model, scales, factors if column else factors[:, 0])


def _add_groups_int4(model: ModelProto, name: str) -> tuple[str, str]:
    """Quantize a float32 table by groups of a row, as a head is: [V, D/32, 16] and [V, D/32]."""
    from onnxruntime.quantization.matmul_nbits_quantizer import (
        DefaultWeightOnlyQuantConfig,
        DefaultWeightOnlyQuantizer,
    )

    config = DefaultWeightOnlyQuantConfig(block_size=GROUP_SIZE, is_symmetric=True)
    matrix = np.ascontiguousarray(to_array(_initializer(model, name)).T)
    packed, scales, _ = DefaultWeightOnlyQuantizer(config).qbits_block_quant(matrix)
    return _add_constant(model, f"{name}_Q4", packed), _add_constant(model, f"{name}_scales", scales)


def _initializer(model: ModelProto, name: str) -> TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def _add_constant(model: ModelProto, name: str, value: np.ndarray) -> str:
    model.graph.initializer.append(from_array(value, name))
    return name


def _reader(model: ModelProto, name: str) -> NodeProto:
    """The one node that still reads a float32 table."""
    (node,) = (node for node in model.graph.node if name in node.input)
    return node


def _replace(model: ModelProto, node: NodeProto, others: Sequence[NodeProto]) -> None:
    index = list(model.graph.node).index(node)
    model.graph.node.remove(node)
    for other in reversed(others):
        model.graph.node.insert(index, other)
