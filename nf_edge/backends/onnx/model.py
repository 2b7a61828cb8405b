"""Quantize a lowered ONNX model: first its linear layers, then its tables.

ONNX Runtime's quantizers handle layers with scales per channel.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array
from torch import Tensor

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.onnx.embedding import add_groups, find_tables, quantize_tables, replace
from nf_edge.backends.onnx.file import hollow, read, save, values_of
from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.onnx.per_channel import quantize_dynamic, quantize_static
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, Weights, nearest
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import Precision

# MatMulNBits' accuracy_level: None dequantizes the weights; 4 quantizes the activations block by block.
ACCURACY_LEVEL = {"none": None, "int8_dynamic": 4}
# The suffix that ONNX Runtime's quantizers add to the names of transposed weights.
TURNED = "_Transposed"


def quantize(
    path: Path,
    layers: Weights,
    precision_of: Precisions,
    quantized_weights: Mapping[str, QuantizedWeight],
    shared: bool,
    calibration_inputs: Inputs,
    release: Callable[[], None],
) -> None:
    """Quantize a model file in place.

    Args:
        layers: the weights of the linear layers, by module name.
        quantized_weights: weights that are already rounded, by module name.
        shared: whether the token table shares the head's matrix, in the same dtype.
        calibration_inputs: rows to calibrate int8_static activations on.
        release: releases the pages of the weights, which are mapped from the checkpoint's file.
    """
    # The quantizers print advice to run shape inference first, which a graph without convolutions does not
    # need.
    with quiet_libraries():
        from onnxruntime.quantization.onnx_model import ONNXModel

        model = read(path)
        tables = find_tables(model)
        quantized = {name: weight for name, weight in layers.items() if precision_of[name].stored is not None}
        _as_products(model, quantized)
        for name, weight in quantized.items():
            if precision_of[name].group:
                _by_groups(model, name, weight, precision_of[name], quantized_weights.get(name))
        # The original weights are unused.
        ONNXModel(model).clean_initializers()
        per_channel = {name: weight for name, weight in quantized.items() if not precision_of[name].group}
        static = {
            name: weight
            for name, weight in per_channel.items()
            if precision_of[name].activations == "int8_static"
        }
        dynamic = {name: weight for name, weight in per_channel.items() if name not in static}
        if static:
            model = quantize_static(model, static, dynamic, calibration_inputs, release)
        if dynamic:
            model = quantize_dynamic(model, dynamic)
        _share_again(model)
        _place(
            model,
            {
                name: quantized_weight
                for name, quantized_weight in quantized_weights.items()
                if name in per_channel
            },
        )
        quantize_tables(model, tables, precision_of, quantized_weights, shared)
        # Replaced weights are unused.
        finished = ONNXModel(model)
        finished.clean_initializers()
        save(finished.model, path)


def _share_again(model: ModelProto) -> None:
    """Remove copies of weights that another node also reads.

    ONNX Runtime's quantizers convert each float32 Gemm to a MatMul with a transposed copy of its weights.
    The copy of a tied head duplicates the table.
    """
    names = {tensor.name for tensor in model.graph.initializer}
    read = {name for node in model.graph.node for name in node.input}
    for tensor in list(model.graph.initializer):
        origin = tensor.name.removesuffix(TURNED)
        if tensor.name != origin and origin in names & read:
            model.graph.initializer.remove(tensor)
            model.graph.node.insert(
                0, make_node("Transpose", [origin], [tensor.name], f"{tensor.name}_turn", perm=[1, 0])
            )


def _as_products(model: ModelProto, layers: Weights) -> None:
    """Convert each linear layer to a MatMul; node and matrix are named after the module.

    The exporter writes MatMul or Gemm, and transposes most matrices.  It transposes the table of a tied head
    at run time.
    """
    arrays = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    turned = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Transpose"}
    left = dict(layers)
    for node in [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]:
        name = turned.get(node.input[1], node.input[1])
        if name not in arrays:
            continue
        array = values_of(arrays[name])
        if node.op_type == "MatMul" and name == node.input[1]:
            array = array.T
        # Layers with equal weights are in the same order in both lists.
        module = next((module for module, weight in left.items() if np.array_equal(array, weight)), None)
        if module is not None:
            # Without values: each way to quantize a layer reads its weights from `layers`.
            shape = reversed(left.pop(module).shape)
            model.graph.initializer.append(hollow(matrix_name(module), shape))
            replace(model, node, _product(node, module))
    assert not left, f"no products with the weights of {', '.join(left)}"
    read = {name for node in model.graph.node for name in node.input}
    for node in [node for node in model.graph.node if node.op_type == "Transpose"]:
        if node.output[0] not in read:
            model.graph.node.remove(node)


def _product(node: NodeProto, module: str) -> list[NodeProto]:
    """A MatMul with the layer's matrix, which replaces a MatMul or a Gemm."""
    added = node.input[2:]
    result = f"{module}.product" if added else node.output[0]
    nodes = [make_node("MatMul", [node.input[0], matrix_name(module)], [result], module)]
    if added:
        nodes.append(make_node("Add", [result, added[0]], [node.output[0]], f"{module}.bias_add"))
    return nodes


def _by_groups(
    model: ModelProto,
    module: str,
    weight: Tensor,
    precision: Precision,
    quantized_weight: QuantizedWeight | None,
) -> None:
    """Replace a layer's product by the operator for weights of 2, 4 or 8 bits with groups.

    Args:
        quantized_weight: the rounded weights; None rounds each weight to the nearest code.
    """
    quantized_weight = quantized_weight or nearest(weight, precision, signed=True)
    name = matrix_name(module)
    add_groups(model, name, precision, quantized_weight)
    rows, columns = quantized_weight.codes.shape
    node = next(node for node in model.graph.node if node.name == module)
    product = make_node(
        "MatMulNBits",
        [node.input[0], *group_names(name, precision)],
        [node.output[0]],
        module,
        domain="com.microsoft",
        K=columns,
        N=rows,
        bits=precision.stored,
        block_size=precision.group,
        accuracy_level=ACCURACY_LEVEL[precision.activations],
    )
    replace(model, node, [product])


def _place(model: ModelProto, quantized_weights: Mapping[str, QuantizedWeight]) -> None:
    """Store `quantized_weights` in the model, in place of the weights that ONNX Runtime rounded."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for module, quantized_weight in quantized_weights.items():
        name = matrix_name(module)
        parts = {"quantized": quantized_weight.codes.T, "scale": quantized_weight.scales[:, 0]}
        if quantized_weight.zeros is not None:
            parts["zero_point"] = quantized_weight.zeros[:, 0]
        for part, values in parts.items():
            key = f"{name}_{part}"
            tensors[key].CopyFrom(from_array(np.ascontiguousarray(values.numpy()), key))
