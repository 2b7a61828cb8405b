"""ExecuTorch's OpenVINO delegate: which operators it takes, what it is made of, and its file.

ExecuTorch's own module for it imports NNCF, knows no dynamic lengths, and leaves shapes to other kernels.
What its runtime reads is OpenVINO's own file of a compiled model, whoever wrote it.
"""

from typing import Any, final

import openvino
import torch
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from executorch.exir.backend.partitioner import DelegationSpec, Partitioner, PartitionResult
from executorch.exir.backend.utils import tag_constant_data
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.passes.memory_format_ops_pass import DimOrderOpsRevertPass
from openvino._offline_transformations import compress_quantize_weights_transformation
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
QUANTIZE = exir_ops.edge.quantized_decomposed.quantize_per_channel.default
LOOKUP = exir_ops.edge.quantized_decomposed.embedding_byte.dtype
# Beside what OpenVINO lists itself: ExecuTorch's copies, which are aten's again before OpenVINO sees them.
KNOWN = {
    "dim_order_ops._clone_dim_order.default",
    "dim_order_ops._to_dim_order_copy.default",
    "aten.scaled_dot_product_attention.default",
    "quantized_decomposed.embedding_byte.dtype",
}


@final
class OpenvinoBackend(BackendDetails):
    """Its name is that under which ExecuTorch's runtime has the delegate."""

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
        _unfold_weights(program)
        _unfold_tables(program)
        # A name of its own: OpenVINO calls it without holding it.
        decoder = TorchFXPythonDecoder(program)
        model = frontend.convert(frontend.load(decoder))
        for entry, value in zip(model.inputs, values, strict=True):
            node = entry.get_node()
            node.set_element_type(TYPES[value.dtype])
            node.set_partial_shape(
                openvino.PartialShape([size if isinstance(size, int) else -1 for size in value.shape])
            )
        model.validate_nodes_and_infer_types()
        compress_quantize_weights_transformation(model)
        (device,) = (spec.value.decode().rstrip("\0") for spec in module_compile_spec if spec.key == "device")
        compiled = openvino.Core().compile_model(model, device)
        return PreprocessResult(processed_bytes=compiled.export_model().getvalue())


class OpenVinoPartitioner(Partitioner):
    """Gives all that OpenVINO's frontend for PyTorch knows to the delegate, shapes too."""

    def __init__(self, device: str) -> None:
        # The runtime reads it as a string of C.
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


def _unfold_weights(program: torch.fx.GraphModule) -> None:
    """Quantize int8 weights in the graph, of which OpenVINO's frontend knows pairs of quantizing and
    dequantizing only; OpenVINO makes them int8 again."""
    for node in program.graph.find_nodes(op="call_function", target=DEQUANTIZE):
        codes, scales, zeros, axis, low, high, dtype = node.args[:7]
        weights = DEQUANTIZE(*(_constant(program, part) for part in (codes, scales, zeros)), *node.args[3:7])
        name = f"{codes.target.replace('.', '_')}_float32"
        program.register_buffer(name, weights)
        with program.graph.inserting_before(node):
            constant = program.graph.get_attr(name)
            constant.meta["val"] = weights
            arguments = (constant, scales, zeros, axis, low, high, dtype)
            quantized = program.graph.call_function(QUANTIZE, arguments)
            quantized.meta["val"] = codes.meta["val"]
        node.replace_input_with(codes, quantized)
    program.recompile()


def _unfold_tables(program: torch.fx.GraphModule) -> None:
    """Look up int8 rows and their scales one by one, for OpenVINO's frontend knows no lookup of both."""
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
