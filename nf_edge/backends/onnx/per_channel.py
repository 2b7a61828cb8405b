"""Layers with int8 weights per channel, by ONNX Runtime's quantizers.

The quantizers get graphs without weights, and each matrix is rounded when its place in the graph is known.
So no second float32 model is in memory.  The rounding is ONNX Runtime's, for all channels at once.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto
from onnx.helper import make_tensor
from onnx.numpy_helper import from_array
from torch import Tensor

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.onnx.feed import feed
from nf_edge.backends.onnx.file import hollow, is_external, save_with_data, values_of
from nf_edge.backends.onnx.names import matrix_name
from nf_edge.backends.quantized_weights import Weights

# Values of a matrix that are rounded at once.
BLOCK = 1 << 22


def quantize_dynamic(model: ModelProto, layers: Weights) -> ModelProto:
    """Quantize layers to int8; the ranges of their inputs are computed at run time.

    Args:
        layers: the float32 weights [N, K] of the layers to quantize, by module; the nodes have these names.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode, save_and_reload_model_with_shape_infer

    matrices = {matrix_name(module): weight for module, weight in layers.items()}

    class Quantizer(ONNXQuantizer):
        def quantize_weight_per_channel_impl(
            self, weight_name: str, *_: Any, **__: Any
        ) -> tuple[str, str, str]:
            codes, scales = rounded(matrices[weight_name])
            parts = ("quantized", "zero_point", "scale")
            code_name, zero_name, scale_name = (f"{weight_name}_{part}" for part in parts)
            shape, zeros = scales.shape, [0] * len(scales)
            self.model.initializer_extend(
                [
                    make_tensor(scale_name, TensorProto.FLOAT, shape, scales.tolist()),
                    make_tensor(zero_name, TensorProto.INT8, shape, zeros),
                    from_array(codes, code_name),
                ]
            )
            return code_name, zero_name, scale_name

    aside = _set_aside(model, matrices)
    quantizer = Quantizer(
        save_and_reload_model_with_shape_infer(model),
        per_channel=True,
        reduce_range=False,
        mode=QuantizationMode.IntegerOps,
        static=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=None,
        nodes_to_quantize=list(layers),
        nodes_to_exclude=[],
        op_types_to_quantize=["MatMul"],
        extra_options={"MatMulConstBOnly": True},
    )
    quantizer.quantize_model()
    return _finished(quantizer.model, aside)


def quantize_static(
    model: ModelProto,
    layers: Weights,
    later: Weights,
    calibration_inputs: Inputs,
    release: Callable[[], None],
) -> ModelProto:
    """Quantize the inputs and weights of layers to int8; their results and all other operators stay float32.

    Args:
        layers: the float32 weights [N, K] of the layers to quantize, by module; the nodes have these names.
        later: the same for layers that are quantized later, whose weights the model does not have either.
        calibration_inputs: the rows that the ranges of the inputs are taken from.
        release: releases the pages of the weights, which are mapped from the checkpoint's file.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.base_quantizer import QuantizationParams
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer, QDQTensorQuantizedValue
    from onnxruntime.quantization.quant_utils import (
        QuantizedValue,
        QuantizedValueType,
        add_dequant_output_suffix,
        add_dequant_suffix,
        save_and_reload_model_with_shape_infer,
    )

    matrices = {matrix_name(module): weight for module, weight in layers.items()}
    axis = 1

    class Quantizer(QDQQuantizer):
        def _calc_initializer_quant_params(self) -> dict[str, Any]:
            made = {}
            for name in self.tensors_to_quantize:
                if name in matrices:
                    scale = scales_of(matrices[name])
                    zero_point = np.zeros(len(scale), np.int8)
                    made[name] = QuantizationParams(
                        zero_point=zero_point, scale=scale, quant_type=TensorProto.INT8, axis=axis
                    )
            return made

        def _add_qdq_nodes_for_initializer(self, weight_proto: TensorProto) -> None:
            name = weight_proto.name
            if name in self.quantized_value_map:
                return
            parts = self._make_scale_zp_initializers(name, self.initializer_quant_params[name])
            scale, zero_point = parts.scale.name, parts.zero_point.name
            output, codes = add_dequant_output_suffix(name), f"{name}_quantized"
            self.model.replace_input_of_all_nodes(name, output)
            self.model.add_initializer(from_array(rounded(matrices[name])[0], codes))
            self._create_dq_node(codes, output, add_dequant_suffix(name), scale, zero_point, axis=axis)
            value = QuantizedValue(name, codes, scale, zero_point, QuantizedValueType.Initializer, axis=axis)
            self.quantized_value_map[name] = QDQTensorQuantizedValue(value, None, None)

    computing = {matrix_name(module): weight for module, weight in {**layers, **later}.items()}
    ranges = _ranges(model, computing, calibration_inputs, release)
    aside = _set_aside(model, matrices)
    quantizer = Quantizer(
        save_and_reload_model_with_shape_infer(model),
        per_channel=True,
        reduce_range=False,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QUInt8,
        tensors_range=ranges,
        nodes_to_quantize=list(layers),
        nodes_to_exclude=[],
        op_types_to_quantize=["MatMul"],
        extra_options={
            "OpTypesToExcludeOutputQuantization": ["MatMul"],
            "DefaultTensorType": TensorProto.FLOAT,
        },
    )
    quantizer.quantize_model()
    return _finished(quantizer.model, aside)


def scales_of(weight: Tensor) -> np.ndarray:
    """The scale of each row of a float32 matrix [N, K], float32 [N].

    As ONNX Runtime computes them (compute_scale_zp in onnxruntime/quantization/quant_utils.py): symmetric,
    for codes from −127 to 127, with 1 in place of scales too small for a normal float32.
    """
    largest = np.concatenate([block.abs().amax(dim=1).numpy() for block in _blocks(weight)])
    scales = 2 * largest.astype(np.float64) / 254
    return np.where(scales < np.finfo(np.float32).tiny, 1.0, scales).astype(np.float32)


def rounded(weight: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The codes of a float32 matrix [N, K] as int8 [K, N], and its scales, float32 [N]."""
    scales, done = scales_of(weight), 0
    codes = np.empty(tuple(reversed(weight.shape)), np.int8)
    for block in _blocks(weight):
        end = done + len(block)
        values = np.round(block.numpy() / scales[done:end, None])
        codes[:, done:end] = values.clip(-128, 127).astype(np.int8).T
        done = end
    return codes, scales


def _blocks(weight: Tensor) -> tuple[Tensor, ...]:
    """Split a matrix into blocks of rows with at most `BLOCK` values each, but at least one row."""
    return weight.detach().split(max(BLOCK // weight.shape[1], 1))


def _ranges(
    model: ModelProto,
    matrices: Mapping[str, Tensor],
    calibration_inputs: Inputs,
    release: Callable[[], None],
) -> Any:
    """The ranges of the activations that MatMul nodes read and write, by ONNX Runtime's calibrator."""
    from onnxruntime.quantization import CalibrationDataReader
    from onnxruntime.quantization.calibrate import MinMaxCalibrater

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds = (feed(model, *inputs) for inputs in calibration_inputs)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._feeds, None)

    bare = ModelProto()
    bare.CopyFrom(model)
    aside = _set_aside(bare, {})
    with tempfile.TemporaryDirectory() as folder:
        graph, augmented = Path(folder) / "graph.onnx", Path(folder) / "augmented.onnx"
        onnx.save(bare, graph)
        calibrator = MinMaxCalibrater(graph, ["MatMul"], augmented)
        calibrator.augment_graph()
        complete = calibrator.model
        _restore(complete, aside)
        values = {name: weight.detach().numpy().T for name, weight in matrices.items()}
        save_with_data(complete, augmented, values)
        # The session packs a copy of the matrices.
        release()
        calibrator.infer_session = _Ranging(augmented, calibrator.model_original_outputs)
        calibrator.collect_data(Reader())
        ranges = calibrator.compute_data()
        del calibrator
    return ranges


class _Ranging:
    """A session for ONNX Runtime's calibrator, which holds few activations at once.

    The calibrator's session computes the range of an activation long after the activation, and copies the
    model's outputs.

    Args:
        ignored: the outputs that are no ranges.
    """

    def __init__(self, path: Path, ignored: Collection[str]) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # As in the calibrator, so that the ranges are the same.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Nodes run in the order of the file, where the nodes of a range follow the activation.
        options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self.get_outputs() if output.name not in ignored]

    def get_outputs(self) -> list[Any]:
        outputs: list[Any] = self._session.get_outputs()
        return outputs

    def run(self, _: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray | None]:
        """The ranges, in the order of the outputs; None for each ignored output."""
        ranges = dict(zip(self._names, self._session.run(self._names, inputs), strict=True))
        return [ranges.get(output.name) for output in self.get_outputs()]


def _set_aside(model: ModelProto, matrices: Mapping[str, Tensor]) -> dict[str, TensorProto]:
    """Remove external data from a model's initializers; return the initializers as they were, by name.

    Weights of Gemm nodes are read into the model, because ONNX Runtime's quantizers transpose them.
    """
    transposed = {node.input[1] for node in model.graph.node if node.op_type == "Gemm"}
    aside = {}
    for tensor in model.graph.initializer:
        if not is_external(tensor):
            continue
        if tensor.name in transposed:
            tensor.CopyFrom(from_array(np.ascontiguousarray(values_of(tensor)), tensor.name))
        else:
            aside[tensor.name] = TensorProto()
            aside[tensor.name].CopyFrom(tensor)
            tensor.CopyFrom(hollow(tensor.name, tensor.dims, tensor.data_type))
    return aside


def _restore(model: ModelProto, aside: Mapping[str, TensorProto]) -> None:
    for tensor in model.graph.initializer:
        if tensor.name in aside:
            tensor.CopyFrom(aside[tensor.name])


def _finished(quantized: Any, aside: Mapping[str, TensorProto]) -> ModelProto:
    """The model of an ONNX Runtime quantizer, with sorted nodes; the initializers `aside` are put back."""
    quantized.topological_sort()
    _restore(quantized.model, aside)
    model: ModelProto = quantized.model
    return model
