"""Convert a program to a quantized ONNX model that the HTP runs completely.

Every operator has 16-bit inputs and outputs with calibrated ranges.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx.numpy_helper import to_array
from torch import Tensor, nn

from nf_edge.backends.companion import companion
from nf_edge.backends.coverage.macs import macs_of
from nf_edge.backends.executorch.capture import example_inputs
from nf_edge.backends.input_shape import INPUTS, OUTPUT, Inputs, InputShape
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.qnn import cached
from nf_edge.backends.qnn.form import HtpProgram, Whole, exportable, matrix
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import POSITIONS, TOKENS
from nf_edge.model import CausalLM, NoiseFormer

# The quantized model's file, in the folder of the context binary.
QUANTIZED = "model.qdq.onnx"
# The first opset with Gelu as one operator.
OPSET = 20
# Names of the tables' parts in an exported model.
CODES = f"model.{TOKENS}.codes"
TABLES = tuple(f"model.{name}." for name in (TOKENS, POSITIONS))
QDQ = {"QuantizeLinear", "DequantizeLinear"}


def write_qdq(program: HtpProgram, precision_of: Precisions, input_shape: InputShape, path: Path) -> int:
    """Export a program, quantize it on its calibration inputs, and write it to a file.

    Returns:
        The multiply-accumulates of one call.
    """
    # The quantizer prints advice to run shape inference first, although the exporter has already done so.
    with quiet_libraries():
        from onnxruntime.quantization import QuantType, quantize
        from onnxruntime.quantization.execution_providers.qnn import get_qnn_qdq_config

        exported = _exported(program.model, input_shape)
        model = exported.model_proto
        named = {tensor.name for tensor in model.graph.initializer}
        config = get_qnn_qdq_config(
            model,
            _reader(_feeds(model, program.calibration_inputs, input_shape)),
            activation_type=QuantType.QUInt16,
            weight_type=QuantType.QUInt8,
            init_overrides=_overrides(precision_of, named),
        )
        quantize(model, path, config)
        assert exported.exported_program is not None
        graph = exported.exported_program.graph
        return sum(macs_of(node) for node in graph.nodes if node.op == "call_function")


def float_model(network: NoiseFormer, input_shape: InputShape) -> onnx.ModelProto:
    """The model before quantization, in float32."""
    with quiet_libraries():
        return _exported(network, input_shape).model_proto


def quantized_file(path: Path) -> Path:
    """The path of the quantized model that a context binary was compiled from.

    Args:
        path: the artifact's model file, which contains the context binary.

    Raises:
        BadInput: the quantized model is missing.
    """
    return companion(path, QUANTIZED, f"nf-edge reads the operators and layers of {path.name} from it")


def _exported(network: NoiseFormer, input_shape: InputShape) -> torch.onnx.ONNXProgram:
    if input_shape.cached:
        program: nn.Module = cached.ChunkProgram(cast(CausalLM, exportable(network, None)))
        example = cached.example(network.config, input_shape.length)
        inputs, outputs = cached.inputs_of(network.config), cached.outputs_of(network.config)
    else:
        program, example = Whole(exportable(network, input_shape.length)), example_inputs(input_shape)
        inputs, outputs = INPUTS, [OUTPUT]
    exported = torch.onnx.export(
        program.eval(),
        example,
        dynamo=True,
        opset_version=OPSET,
        input_names=list(inputs),
        output_names=outputs,
        verbose=False,
    )
    assert exported is not None
    return exported


def _feeds(
    model: onnx.ModelProto, calibration_inputs: Inputs, input_shape: InputShape
) -> Iterator[dict[str, np.ndarray]]:
    """The model's inputs for each calibration row or chunk."""
    if not input_shape.cached:
        return (dict(zip(INPUTS, row, strict=True)) for row in calibration_inputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return cached.calibration_feeds(session, input_shape.length, calibration_inputs)


def _reader(feeds: Iterator[dict[str, np.ndarray]]) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(feeds, None)

    return Reader()


def _overrides(precision_of: Precisions, named: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Map tensor names to the quantizer's settings.

    A linear layer's matrix gets one scale per channel.  The codes of a table get the fixed scale 1.

    Args:
        named: names of the constants in the model.
    """
    from onnxruntime.quantization import QuantType

    kinds = {4: QuantType.QInt4, 8: QuantType.QInt8}
    overrides: dict[str, list[dict[str, Any]]] = {
        matrix(name): [{"quant_type": kinds[precision.stored], "axis": 1, "symmetric": True}]
        for name, precision in precision_of.items()
        if matrix(name) in named and precision.stored is not None
    }
    if CODES in named:
        scaling = {"scale": np.array(1.0, np.float32), "zero_point": np.array(128, np.uint8)}
        overrides[CODES] = [{"quant_type": QuantType.QUInt8, **scaling}]
    return overrides


def weights_of(path: Path, precision_of: Precisions) -> dict[str, Tensor]:
    """Dequantized weights of a quantized model's linear layers, by module name."""
    tensors = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    weights = {}
    for name in precision_of:
        if f"{matrix(name)}_quantized" in tensors:
            codes, scales = (to_array(tensors[f"{matrix(name)}_{part}"]) for part in ("quantized", "scale"))
            weights[name] = torch.from_numpy(codes.astype(np.float32) * scales).T.contiguous()
    return weights


def operators_of(path: Path) -> list[str]:
    """Names of a quantized model's operators, without those that only quantize or dequantize."""
    return [node.op_type for node in onnx.load(path).graph.node if node.op_type not in QDQ]
