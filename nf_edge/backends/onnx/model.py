"""Quantizing a lowered ONNX model: its linear layers, by channels with ONNX Runtime's quantizers, then its
tables."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array, to_array
from torch import Tensor

from nf_edge.backends.input_shape import INPUTS, Inputs
from nf_edge.backends.onnx.embedding import add_groups, find_tables, quantize_tables, replace
from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, Weights, nearest
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import Precision

# MatMulNBits: the weights are dequantized, which needs no word, or the activations quantized, block by block.
ACCURACY_LEVEL = {"none": None, "int8_dynamic": 4}
# The suffix that ONNX Runtime's quantizers add to names of transposed weights.
TURNED = "_Transposed"


def quantize(
    path: Path,
    layers: Weights,
    precision_of: Precisions,
    quantized_weights: Mapping[str, QuantizedWeight],
    shared: bool,
    calibration_inputs: Inputs,
) -> None:
    """Quantize a model file in its place.

    Args:
        layers: the weights of its linear layers, by the names of their modules.
        quantized_weights: weights that are rounded already.
        shared: whether the token table is the head's matrix, in the same dtype.
        calibration_inputs: rows to calibrate on, where activations are int8_static.
    """
    # The quantizers advise a shape-inference pass first, which a graph without convolutions has no use for.
    with quiet_libraries():
        from onnxruntime.quantization.onnx_model import ONNXModel

        model = onnx.load(path)
        tables = find_tables(model)
        quantized = {name: weight for name, weight in layers.items() if precision_of[name].stored is not None}
        _as_products(model, quantized)
        for name, weight in quantized.items():
            if precision_of[name].group:
                _by_groups(model, name, weight, precision_of[name], quantized_weights.get(name))
        # The original weights are no longer read, and would double the files that quantizers write.
        ONNXModel(model).clean_initializers()
        per_channel = [name for name in quantized if not precision_of[name].group]
        static = [name for name in per_channel if precision_of[name].activations == "int8_static"]
        dynamic = [name for name in per_channel if name not in static]
        if static:
            model = _static(model, static, path, calibration_inputs)
        if dynamic:
            model = _dynamic(model, dynamic, path)
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
        # Replaced weights are no longer read.
        finished = ONNXModel(model)
        finished.clean_initializers()
        onnx.save(finished.model, path)


def _share_again(model: ModelProto) -> None:
    """Take away copies of weights that are read elsewhere too.

    ONNX Runtime's quantizers write each Gemm that stays float32 as a MatMul, with a copy of its weights,
    transposed; a tied head's are those of the table.
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
    """Write layers as products with a matrix each, node and matrix named after their modules.

    The exporter has them as MatMul or Gemm, transposes most matrices, and has a tied head multiply with the
    table, transposed as it runs.
    """
    arrays = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    turned = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Transpose"}
    left = dict(layers)
    for node in [node for node in model.graph.node if node.op_type in ("MatMul", "Gemm")]:
        name = turned.get(node.input[1], node.input[1])
        if name not in arrays:
            continue
        array = to_array(arrays[name])
        if node.op_type == "MatMul" and name == node.input[1]:
            array = array.T
        # Layers with the same weights have the same order here and there.
        module = next((module for module, weight in left.items() if np.array_equal(array, weight)), None)
        if module is not None:
            model.graph.initializer.append(
                from_array(np.ascontiguousarray(left.pop(module).numpy().T), matrix_name(module))
            )
            replace(model, node, _product(node, module))
    assert not left, f"no products with the weights of {', '.join(left)}"
    read = {name for node in model.graph.node for name in node.input}
    for node in [node for node in model.graph.node if node.op_type == "Transpose"]:
        if node.output[0] not in read:
            model.graph.node.remove(node)


def _product(node: NodeProto, module: str) -> list[NodeProto]:
    """A MatMul with a layer's matrix in place of a MatMul or a Gemm."""
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
    """Give a layer the operator that multiplies with weights of 2, 4 or 8 bits in groups."""
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


def _dynamic(model: ModelProto, nodes: list[str], path: Path) -> ModelProto:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    quantize_dynamic(
        model,
        path,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=nodes,
        per_channel=True,
        weight_type=QuantType.QInt8,
        extra_options={"MatMulConstBOnly": True},
    )
    return onnx.load(path)


def _static(model: ModelProto, nodes: list[str], path: Path, calibration_inputs: Inputs) -> ModelProto:
    """Products of int8 with float32 results: what adds to them, attention and the norms stay float32."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter([feed(model, *inputs) for inputs in calibration_inputs])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    quantize_static(
        model,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        nodes_to_quantize=nodes,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        extra_options={
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
            "DefaultTensorType": onnx.TensorProto.FLOAT,
        },
    )
    return onnx.load(path)


def feed(model: ModelProto, input_ids: np.ndarray, attention_mask: np.ndarray) -> dict[str, np.ndarray]:
    """A row as the model takes it; a decoder takes it as one prompt, with nothing before it."""
    feed = dict(zip(INPUTS, (input_ids, attention_mask), strict=True))
    for entry in model.graph.input:
        if entry.name not in INPUTS:
            shape = [dim.dim_value for dim in entry.type.tensor_type.shape.dim]
            past = len(shape) == 4
            feed[entry.name] = np.zeros(shape, np.float32) if past else np.arange(input_ids.shape[1])[None]
    return feed


def _place(model: ModelProto, quantized_weights: Mapping[str, QuantizedWeight]) -> None:
    """Put weights that are rounded already where those are that the quantizers made of some layers."""
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for module, quantized_weight in quantized_weights.items():
        name = matrix_name(module)
        parts = {"quantized": quantized_weight.codes.T, "scale": quantized_weight.scales[:, 0]}
        if quantized_weight.zeros is not None:
            parts["zero_point"] = quantized_weight.zeros[:, 0]
        for part, values in parts.items():
            key = f"{name}_{part}"
            tensors[key].CopyFrom(from_array(np.ascontiguousarray(values.numpy()), key))
