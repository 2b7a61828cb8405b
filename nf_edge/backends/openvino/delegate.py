"""ExecuTorch's OpenVINO delegate: its operators, and the conversion to OpenVINO's file.

ExecuTorch's conversion imports NNCF, supports no dynamic lengths, and leaves shape operators to other
kernels.  This module replaces it: the delegate's runtime only needs OpenVINO's compiled model.
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import openvino
import torch
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec, Partitioner, PartitionResult
from executorch.exir.backend.utils import tag_constant_data
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.passes.memory_format_ops_pass import DimOrderOpsRevertPass
from openvino import opset15 as opset
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder
from openvino.frontend.pytorch.torchdynamo.op_support import OperatorSupport
from torch.export import ExportedProgram
from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
from torch.fx.passes.operator_support import OperatorSupportBase

TYPES = {
    torch.float32: openvino.Type.f32,
    torch.int64: openvino.Type.i64,
    torch.int32: openvino.Type.i32,
    torch.int8: openvino.Type.i8,
    torch.bool: openvino.Type.boolean,
}
DEQUANTIZE = exir_ops.edge.quantized_decomposed.dequantize_per_channel.default
DEQUANTIZE_GROUPS = exir_ops.edge.torchao.dequantize_affine.default
LOOKUP = exir_ops.edge.quantized_decomposed.embedding_byte.dtype
# Operators in addition to OpenVINO's list: ExecuTorch's copies, which become aten operators again before the
# conversion.
KNOWN = {
    "dim_order_ops._clone_dim_order.default",
    "dim_order_ops._to_dim_order_copy.default",
    "aten.scaled_dot_product_attention.default",
    "quantized_decomposed.embedding_byte.dtype",
    "torchao.dequantize_affine.default",
}


@final
class OpenvinoBackend(BackendDetails):
    """Compiles programs with OpenVINO.

    The class must have the delegate's name in ExecuTorch's runtime.
    """

    @classmethod
    def preprocess(
        cls, edge_program: ExportedProgram, module_compile_spec: list[CompileSpec]
    ) -> PreprocessResult:
        reverted = DimOrderOpsRevertPass()(edge_program.graph_module)
        assert reverted is not None
        edge_program._graph_module = reverted.graph_module
        given = set(edge_program.graph_signature.user_inputs)
        values = [node.meta["val"] for node in edge_program.graph.nodes if node.name in given]
        frontend = FrontEndManager().load_by_framework("pytorch")
        program = edge_program.module(check_guards=False)
        weights = _unfold_weights(program)
        _unfold_tables(program)
        # The variable keeps the decoder alive; OpenVINO calls it without holding a reference.
        decoder = TorchFXPythonDecoder(program)
        model = frontend.convert(frontend.load(decoder))
        for entry, value in zip(model.inputs, values, strict=True):
            node = entry.get_node()
            node.set_element_type(TYPES[value.dtype])
            node.set_partial_shape(
                openvino.PartialShape([size if isinstance(size, int) else -1 for size in value.shape])
            )
        model.validate_nodes_and_infer_types()
        _fold_weights(model, weights)
        # By default OpenVINO would also quantize the inputs of quantized layers to int8 in groups of 32.
        model.set_rt_info("0", ["runtime_options", "DYNAMIC_QUANTIZATION_GROUP_SIZE"])
        (device,) = (spec.value.decode().rstrip("\0") for spec in module_compile_spec if spec.key == "device")
        compiled = openvino.Core().compile_model(model, device)
        return PreprocessResult(processed_bytes=compiled.export_model().getvalue())


class OpenVinoPartitioner(Partitioner):
    """Delegates all operators that OpenVINO's frontend for PyTorch supports, including shape operators."""

    def __init__(self, device: str) -> None:
        # The runtime reads the device as a C string.
        spec = CompileSpec("device", f"{device}\0".encode())
        self.delegation_spec = DelegationSpec(OpenvinoBackend.__name__, [spec])

    def ops_to_not_decompose(self, ep: ExportedProgram) -> Any:
        return [torch.ops.aten.scaled_dot_product_attention.default], None

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        partitions = CapabilityBasedPartitioner(
            exported_program.graph_module, _Known(), allows_single_node_partition=True
        ).propose_partitions()
        tags = {}
        for partition in partitions:
            tag = f"openvino{partition.id}"
            tags[tag] = self.delegation_spec
            for node in partition.nodes:
                node.meta["delegation_tag"] = tag
        tag_constant_data(exported_program)
        return PartitionResult(tagged_exported_program=exported_program, partition_tags=tags)


class _Known(OperatorSupportBase):
    def __init__(self) -> None:
        self._names = {name.removeprefix("torch.ops.") for name in OperatorSupport([])._support_dict} | KNOWN

    def is_node_supported(self, submodules: Any, node: torch.fx.Node) -> bool:
        if node.op != "call_function":
            return False
        name = getattr(node.target, "__name__", str(node.target))
        return name == "getitem" or name in self._names or f"aten.{name}" in self._names


@dataclass(frozen=True)
class _Weights:
    """A linear layer's weights.

    Attributes:
        codes: int8 [N, K].
        scales: float32 [N], or [N, groups] for int4.
        values: the dequantized weights, float32 [N, K].
    """

    codes: torch.Tensor
    scales: torch.Tensor
    values: torch.Tensor


def _unfold_weights(program: torch.fx.GraphModule) -> list[_Weights]:
    """Dequantize the weights in a program in place, and return them with their codes and scales.

    OpenVINO's frontend lacks one of the dequantize operators, and another is wrong for negative scales.
    """
    layers = []
    for operator, scales_at in ((DEQUANTIZE, 1), (DEQUANTIZE_GROUPS, 2)):
        for node in program.graph.find_nodes(op="call_function", target=operator):
            arguments = [
                _constant(program, each) if isinstance(each, torch.fx.Node) else each for each in node.args
            ]
            codes, scales, values = arguments[0], arguments[scales_at], operator(*arguments)
            name = f"{node.args[0].target.replace('.', '_')}_float32"
            program.register_buffer(name, values)
            with program.graph.inserting_before(node):
                constant = program.graph.get_attr(name)
                constant.meta["val"] = values
            node.replace_all_uses_with(constant)
            program.graph.erase_node(node)
            layers.append(_Weights(codes, scales, values))
    program.recompile()
    return layers


def _fold_weights(model: openvino.Model, layers: list[_Weights]) -> None:
    """Replace dequantized constants by codes and scales, so that OpenVINO multiplies with the codes
    directly.
    """
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    for weights in layers:
        values = weights.values.numpy()
        for constant in constants:
            if list(constant.shape) == list(values.shape) and np.array_equal(constant.data, values):
                constant.output(0).replace(_dequantized(weights).output(0))


def _dequantized(weights: _Weights) -> openvino.Node:
    """An OpenVINO node that dequantizes weights to float32 [N, K]."""
    if weights.scales.dim() == 1:
        codes = opset.convert(opset.constant(weights.codes.numpy()), "f32")
        return opset.multiply(codes, opset.constant(weights.scales[:, None].numpy()))
    (rows, groups), inputs = weights.scales.shape, weights.codes.shape[1]
    nibbles = weights.codes.view(torch.uint8) & 15
    packed = (nibbles[:, ::2] | nibbles[:, 1::2] << 4).numpy()
    tensor = openvino.Tensor(packed, [rows, groups, inputs // groups], openvino.Type.i4)
    # With shared memory the constant would refer to `packed`, which is freed.
    codes = opset.convert(opset.constant(tensor, shared_memory=False), "f32")
    product = opset.multiply(codes, opset.constant(weights.scales[:, :, None].numpy()))
    return opset.reshape(product, opset.constant(np.array([rows, inputs])), special_zero=False)


def _unfold_tables(program: torch.fx.GraphModule) -> None:
    """Look up int8 rows and their scales separately, because OpenVINO's frontend has no operator for both."""
    aten = torch.ops.aten
    for node in program.graph.find_nodes(op="call_function", target=LOOKUP):
        table, scales, _, _, _, ids = node.args
        with program.graph.inserting_before(node):
            rows, factors = (
                program.graph.call_function(aten.embedding.default, (part, ids)) for part in (table, scales)
            )
            values = program.graph.call_function(aten._to_copy.default, (rows,), {"dtype": torch.float32})
            product = program.graph.call_function(aten.mul.Tensor, (values, factors))
        node.replace_all_uses_with(product)
        program.graph.erase_node(node)
    program.recompile()


def _constant(program: torch.fx.GraphModule, node: torch.fx.Node) -> torch.Tensor:
    *modules, name = str(node.target).split(".")
    tensor: torch.Tensor = getattr(program.get_submodule(".".join(modules)), name)
    return tensor
