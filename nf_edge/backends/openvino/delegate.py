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
from executorch.exir.passes.memory_format_ops_pass import DimOrderOpsRevertPass
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
# ExecuTorch's copies, which are aten's again before OpenVINO sees them.
KNOWN = {
    "dim_order_ops._clone_dim_order.default",
    "dim_order_ops._to_dim_order_copy.default",
    "aten.scaled_dot_product_attention.default",
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
        decoder = TorchFXPythonDecoder(edge_program.module(check_guards=False))
        model = frontend.convert(frontend.load(decoder))
        for entry, value in zip(model.inputs, values, strict=True):
            node = entry.get_node()
            node.set_element_type(TYPES[value.dtype])
            node.set_partial_shape(
                openvino.PartialShape([size if isinstance(size, int) else -1 for size in value.shape])
            )
        model.validate_nodes_and_infer_types()
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
