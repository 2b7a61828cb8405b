"""Quantizing a lowered ONNX model: its linear layers by ONNX Runtime's quantizers, then its tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto
from onnx.numpy_helper import from_array, to_array

from nf_edge.backends.base import INPUTS
from nf_edge.compress.calibrate import Inputs
from nf_edge.compress.onnx_tables import find_tables, quantize_tables
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import GROUP_SIZE, Quantize

# MatMulNBits: the weights are dequantized, or the activations quantized, block by block.
ACCURACY_LEVEL = {"none": 0, "int8_dynamic": 4}


def quantize(path: Path, how: Quantize, seen: Inputs) -> None:
    """Quantize a model file in its place.

    Args:
        seen: what to calibrate on, where activations are int8_static.
    """
    # The quantizers advise a shape-inference pass first, which a graph without convolutions has no use for.
    with quiet_libraries():
        from onnxruntime.quantization.onnx_model import ONNXModel

        wrapped = ONNXModel(onnx.load(path))
        wrapped.replace_gemm_with_matmul()
        model = wrapped.model
        _fold_transposes(model)
        tables = find_tables(model)
        linear = _linear_layers(model)
        grouped = [name for name, inputs in linear.items() if how.linear_dtype(inputs) == "int4"]
        per_channel = [name for name in linear if name not in grouped]
        if grouped:
            model = _by_groups(model, grouped, ACCURACY_LEVEL[how.activations])
        if how.activations == "int8_static":
            model = _static(model, per_channel, path, seen)
        elif per_channel:
            model = _dynamic(model, per_channel, path)
        if how.embeddings != "float32":
            quantize_tables(model, tables, how)
        # What was replaced is no longer read.
        finished = ONNXModel(model)
        finished.clean_initializers()
        onnx.save(finished.model, path)


def _fold_transposes(model: ModelProto) -> None:
    """Store matrices as they are multiplied with: a tied head's is else the table, transposed as it runs."""
    arrays = {tensor.name: tensor for tensor in model.graph.initializer if len(tensor.dims) == 2}
    transposes = [node for node in model.graph.node if node.op_type == "Transpose"]
    for node in (node for node in transposes if node.input[0] in arrays):
        name = f"{node.input[0]}_Transposed"
        model.graph.initializer.append(
            from_array(np.ascontiguousarray(to_array(arrays[node.input[0]]).T), name)
        )
        for reader in model.graph.node:
            for place, read in enumerate(reader.input):
                if read == node.output[0]:
                    reader.input[place] = name
        model.graph.node.remove(node)


def _linear_layers(model: ModelProto) -> dict[str, int]:
    """Inputs of every product with a constant matrix, by the node's name.

    The noise's factors are not among them, having one matrix a head: K and its noise count as one unit,
    and these are a sliver of the weights.
    """
    matrices = {tensor.name: tensor.dims for tensor in model.graph.initializer if len(tensor.dims) == 2}
    return {
        node.name: matrices[node.input[1]][0]
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in matrices
    }


def _by_groups(model: ModelProto, nodes: Sequence[str], accuracy_level: int) -> ModelProto:
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model,
        block_size=GROUP_SIZE,
        is_symmetric=True,
        accuracy_level=accuracy_level,
        nodes_to_exclude=[node.name for node in _products(model) if node.name not in nodes],
    )
    quantizer.process()
    grouped: ModelProto = quantizer.model.model
    return grouped


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


def _static(model: ModelProto, nodes: list[str], path: Path, seen: Inputs) -> ModelProto:
    """Products of int8 with float32 results: what adds to them, attention and the norms stay float32."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = iter([feed(model, *inputs) for inputs in seen])

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


def _products(model: ModelProto) -> list[NodeProto]:
    return [node for node in model.graph.node if node.op_type == "MatMul"]
