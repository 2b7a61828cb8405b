"""Skip steps of ExecuTorch's lowering to XNNPACK that would change nothing.  The file stays the same.

ExecuTorch's XNNPACK backend runs 17 passes over each delegate, and nearly every pass traces the delegate
again.  A model of 12 layers has some 50 delegates, so these passes took 40 % of a lowering.  Most of them
look for operators of convolutional networks.

`to_edge_transform_and_lower` decomposes the program three times, and each time traces it again.  The first
time only makes it functional, which the second time does too.  The third time finds only operators that the
second time has left.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from torch import Tensor
from torch.export import ExportedProgram
from torch.fx import Graph, Node

from nf_edge.backends.executorch.deferred_code import code_deferred
from nf_edge.backends.executorch.file_constants import constants_on_disk
from nf_edge.backends.executorch.program_passes import MayChange, needed_passes_only


def _calls(*operators: str) -> MayChange:
    """A function that says whether a node calls an operator with one of these texts in its name."""
    return lambda node: any(each in getattr(node.target, "__name__", "") for each in operators)


def _is_constant(node: Node) -> bool:
    return node.op == "call_function" and not node.all_input_nodes


def _has_four_dimensions(node: Node) -> bool:
    return getattr(node.meta.get("val"), "ndim", 0) == 4


def _gets_four_dimensions(node: Node) -> bool:
    """Whether a node has four dimensions, or gets them from `Conv1dUnsqueezePass`."""
    return _has_four_dimensions(node) or _calls("convolution")(node)


def _may_be_copy(node: Node) -> bool:
    """Whether a node may be a copy into another memory format, or get such copies around it."""
    return _gets_four_dimensions(node) or _calls("to_copy", "to_dim_order_copy")(node)


def _has_custom_metadata(node: Node) -> bool:
    return "custom" in node.meta


BATCH_NORM = _calls("batch_norm")
# The passes that may be skipped, by class name in executorch/backends/xnnpack/_passes, and the nodes that
# each of them looks for.  Any other pass always runs.
LOOKS_FOR: dict[str, MayChange] = {
    "DimOrderOpsRevertPass": _calls("dim_order"),
    "ConvertToUpsampleBilinear2d": _calls("index", "upsample"),
    "ConvertToLinearPass": _calls("mm."),
    "PropagateCustomMetaPass": _has_custom_metadata,
    "ConvertToSDPAPass": _calls("mul.Scalar"),
    "ConstPropPass": _is_constant,
    "FuseBatchNormPass": BATCH_NORM,
    "DecomposeBatchNorm": BATCH_NORM,
    "FuseActivationPass": _calls("relu", "hardtanh"),
    "DecomposeConcatenate": _calls("cat."),
    "RemoveGetItemPass": _calls("max_pool2d", "aten.max."),
    "InsertPadQDQPass": _calls("pad"),
    "Conv1dUnsqueezePass": _calls("convolution"),
    "PReLUReshapePass": _calls("prelu"),
    # It tags the memory formats of tensors with four dimensions, and adds copies between the formats.  The
    # next pass removes such copies.
    "ChannelsLastTaggedReshapePass": _gets_four_dimensions,
    "RemoveRedundantCopyPass": _may_be_copy,
}


@contextmanager
def needed_steps_only(release: Callable[[], None]) -> Iterator[None]:
    """Make ExecuTorch skip the steps that would change nothing, while the block runs.

    Args:
        release: called before a delegate or constant is written, to release pages of the weights before it.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess
    from executorch.exir.backend.canonical_partitioners import duplicate_constant_node_pass

    decompose = ExportedProgram.run_decompositions
    # The operators that a decomposition left in a program, although its table has them.
    left = WeakKeyDictionary[ExportedProgram, set[Any]]()

    def run_decompositions(program: ExportedProgram, table: Any = None, **options: Any) -> ExportedProgram:
        if table is not None and not table:
            return program
        if table and program in left and _in_table(program.graph, table) <= left[program]:
            # Tracing the program again would only remove nodes without users.
            program.graph.eliminate_dead_code()
            return program
        result = decompose(program, table, **options)
        left[result] = set() if table is None else _in_table(result.graph, table)
        return result

    def copied(program: ExportedProgram, _: Any) -> ExportedProgram:
        """A copy for the backend, which shares the weights: XNNPACK's passes change none of them."""
        release()
        weights = (*program.state_dict.values(), *program.constants.values())
        copy: ExportedProgram = deepcopy(program, {id(weight): weight for weight in weights})
        return copy

    def shared(value: Any) -> Any:
        """The same tensor, or a copy of any other value; for weights that two parts of a program use."""
        return value if isinstance(value, Tensor) else deepcopy(value)

    class PassManager(xnnpack_preprocess.XNNPACKPassManager):
        passes: list[type]

        def transform(self) -> Any:
            self.passes = [each for each in self.passes if _may_change(each, self.exported_program.graph)]
            return super().transform()

    # ExecuTorch has no options for these steps.  `patch.object` fails if ExecuTorch renames one of them.
    with (
        code_deferred(),
        needed_passes_only(),
        constants_on_disk(release),
        patch.object(xnnpack_preprocess, "XNNPACKPassManager", PassManager),
        patch.object(ExportedProgram, "run_decompositions", run_decompositions),
        patch.object(xnnpack_preprocess.XnnpackBackend, "copy_exported_program_for_preprocess", copied),
        patch.object(duplicate_constant_node_pass, "copy", SimpleNamespace(deepcopy=shared)),
    ):
        try:
            yield
        finally:
            _forget_nodes()


def _in_table(graph: Graph, table: Any) -> set[Any]:
    """The operators of a graph that a table of decompositions has."""
    return {node.target for node in graph.nodes if node.op == "call_function" and node.target in table}


def _forget_nodes() -> None:
    """Clear the nodes that ExecuTorch keeps: in caches, and for the log of XNNPACK's partitioner.

    A node refers to the lowered program, and so to all of its weights.
    """
    from executorch.exir.backend import utils

    for function in vars(utils).values():
        if callable(getattr(function, "cache_clear", None)):
            function.cache_clear()
    for name, module in list(sys.modules.items()):
        reason = getattr(module, "why", None)
        if name.startswith("executorch.backends.xnnpack.partition.config.") and reason is not None:
            reason.node = None


def _may_change(kind: type, graph: Graph) -> bool:
    looks_for = LOOKS_FOR.get(kind.__name__)
    return looks_for is None or any(map(looks_for, graph.nodes))
