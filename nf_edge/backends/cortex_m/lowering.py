"""Lowering to the operators that ExecuTorch has kernels of CMSIS-NN for.

Nothing is delegated: operators are replaced one by one, and those without such a kernel stay ExecuTorch's
portable ones, in float32 between a dequantize and a quantize.
"""

from typing import Any

import torch

from nf_edge.quiet import quiet_libraries


def cmsis_quantizer(module: str) -> Any:
    """ExecuTorch's quantizer to int8 for CMSIS-NN, of one of a program's modules, by name."""
    with quiet_libraries():
        from executorch.backends.arm.quantizer.arm_quantizer_utils import (
            PatternQuantizer,
            SharedQspecQuantizer,
        )
        from executorch.backends.cortex_m.quantizer.node_finders import ModuleNameNodeFinder
        from executorch.backends.cortex_m.quantizer.pattern_matcher import PatternMatcher
        from executorch.backends.cortex_m.quantizer.quantization_configs import (
            INT8_PER_CHANNEL_CONFIG,
            INT8_PER_TENSOR_CONFIG,
        )
        from executorch.backends.cortex_m.quantizer.quantizer_support import (
            CORTEX_M_EXPLICIT_LAYOUT_QUANTIZER_SUPPORT_DICT as PATTERNS,
        )
        from torchao.quantization.pt2e.quantizer import ComposableQuantizer

    def quantizer(config: Any, convolutions: bool) -> Any:
        patterns = {
            pattern: check
            for pattern, check in PATTERNS.items()
            if (pattern[0] == torch.ops.aten.conv2d.default) == convolutions
        }
        matcher = PatternMatcher(patterns, support_dict_name=__name__)
        return PatternQuantizer(config, ModuleNameNodeFinder(module), matcher)

    return ComposableQuantizer(
        [
            quantizer(INT8_PER_CHANNEL_CONFIG, convolutions=True),
            quantizer(INT8_PER_TENSOR_CONFIG, convolutions=False),
            SharedQspecQuantizer(),
        ]
    )


def lower_program(exported: torch.export.ExportedProgram, target: str) -> Any:
    """A quantized program's manager in operators of CMSIS-NN for a core, wherever there are any."""
    from executorch.backends.cortex_m.edge_compile_config import cortex_m_edge_compile_config
    from executorch.backends.cortex_m.passes.cortex_m_pass_manager import CortexMPassManager
    from executorch.backends.cortex_m.target_config import CortexMTargetConfig
    from executorch.exir import to_edge

    edge = to_edge(exported, compile_config=cortex_m_edge_compile_config())
    passes = [each for each in CortexMPassManager.explicit_layout_pass_list if each.__name__ not in LEFT_OUT]
    manager = CortexMPassManager(
        edge.exported_program(), passes, CortexMTargetConfig.from_target_string(target)
    )
    edge._edge_programs["forward"] = manager.transform()
    return edge


# No quantized operator has scalars, and those of the host's integers it takes for tensors.
LEFT_OUT = ("ReplaceScalarWithTensorArgPass",)


def coverage(edge: Any) -> Any:
    return None
