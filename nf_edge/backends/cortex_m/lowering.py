"""Lowering to ExecuTorch's operators with CMSIS-NN kernels.

There is no delegate: operators are replaced one by one.  Operators without a CMSIS-NN kernel stay
ExecuTorch's portable ones.  They compute in float32 between a dequantize and a quantize operator.
"""

from typing import Any

import torch
from torch.fx.passes.infra.pass_manager import PassResult

from nf_edge.backends.cortex_m.spec import CORES
from nf_edge.backends.static_shape.form import selects_token

# Quantized operators have no scalar arguments, and the float32 operators outside the layers must not change.
LEFT_OUT = ("ReplaceScalarWithTensorArgPass",)


def cmsis_quantizer(module: str) -> Any:
    """ExecuTorch's int8 quantizer for CMSIS-NN, restricted to the program's module with this name.

    Weights have scales per channel, activations per tensor.
    """
    from executorch.backends.arm.quantizer.arm_quantizer_utils import PatternQuantizer, SharedQspecQuantizer
    from executorch.backends.cortex_m.quantizer.node_finders import ModuleNameNodeFinder
    from executorch.backends.cortex_m.quantizer.pattern_matcher import PatternMatcher
    from executorch.backends.cortex_m.quantizer.quantization_configs import (
        INT8_PER_CHANNEL_CONFIG,
        SOFTMAX_OUTPUT_FIXED_QSPEC,
    )
    from executorch.backends.cortex_m.quantizer.quantizer_support import (
        CORTEX_M_EXPLICIT_LAYOUT_QUANTIZER_SUPPORT_DICT as PATTERNS,
    )
    from torchao.quantization.pt2e.quantizer import ComposableQuantizer, SharedQuantizationSpec
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    class Quantizer(ComposableQuantizer):
        def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
            model = super().annotate(model)
            for node in model.graph.nodes:
                if node.target != torch.ops.aten.bmm.default:
                    continue
                annotation, (first, second) = node.meta[Q_ANNOTATION_KEY], node.args
                # Selecting a token must not round its values again, so input and output share one scale.
                if selects_token(node):
                    annotation.output_qspec = SharedQuantizationSpec((second, node))
                elif first.target in (torch.ops.aten.softmax.int, torch.ops.aten._softmax.default):
                    annotation.input_qspec_map[first] = SOFTMAX_OUTPUT_FIXED_QSPEC
            return model

    matcher = PatternMatcher(PATTERNS, support_dict_name=__name__)
    patterns = PatternQuantizer(INT8_PER_CHANNEL_CONFIG, ModuleNameNodeFinder(module), matcher)
    return Quantizer([patterns, SharedQspecQuantizer()])


def lower_program(exported: torch.export.ExportedProgram, target: str) -> Any:
    """Lower a quantized program, with CMSIS-NN operators where they exist; return ExecuTorch's program
    manager.

    Args:
        target: the kind of core to lower for, a key of `CORES` such as `cortex-m-mve`.
    """
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.backends.transforms.utils import delete_constant_placeholder, is_param_node
    from executorch.exir import EdgeProgramManager, to_edge
    from executorch.exir.dialects._ops import ops
    from executorch.exir.pass_base import ExportPass

    class MergeTransposes(ExportPass):
        """Merge two consecutive transposes, because the product of two activations adds a transpose."""

        def call(self, graph_module: torch.fx.GraphModule) -> PassResult:
            transpose, merged = ops.edge.cortex_m.transpose.default, False
            for node in graph_module.graph.nodes:
                if node.target == transpose and node.args[0].target == transpose:
                    (source, first), second = node.args[0].args, node.args[1]
                    node.args = (source, [first[dim] for dim in second])
                    merged = True
            graph_module.graph.eliminate_dead_code()
            graph_module.recompile()
            return PassResult(graph_module, merged)

    config = cortex_m_edge_compile_config()
    # No library for these cores has the operator of a float32 linear layer.
    config.preserve_ops = [op for op in config.preserve_ops if op != torch.ops.aten.linear.default]
    edge = to_edge(exported, compile_config=config).exported_program()
    passes = [each for each in CortexMPassManager.explicit_layout_pass_list if each.__name__ not in LEFT_OUT]
    manager = CortexMPassManager(
        edge, [*passes, MergeTransposes], CortexMTargetConfig.from_target_string(CORES[target])
    )
    lowered = manager.transform()
    # Remove unused constants, which the file would otherwise contain: old scales, and weights that were
    # folded or rearranged.
    for node in list(lowered.graph.nodes):
        if not node.users and is_param_node(lowered, node):
            delete_constant_placeholder(lowered, node)
    return EdgeProgramManager(lowered, compile_config=config)
