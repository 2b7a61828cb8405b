"""Static int8 of linear layers before lowering, in ExecuTorch's quantize and dequantize operators, which
several of its delegates know."""

from typing import ClassVar

import torch
from torch import nn

from nf_edge.backends.executorch.capture import capture, quantize_captured
from nf_edge.backends.input_shape import Inputs, InputShape
from nf_edge.backends.precisions import Precisions
from nf_edge.core.quiet import quiet_libraries


def quantize_linear(
    program: nn.Module, precision_of: Precisions, input_shape: InputShape, calibration_inputs: Inputs
) -> nn.Module:
    """A program whose linear layers have int8 weights, and inputs as requested.

    Layers of int8_static get the ranges of the calibration inputs.  Only linear layers are quantized: a mask
    among quantized scores would take all of their range.
    """
    with quiet_libraries():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

        class LinearQuantizer(XNNPACKQuantizer):
            # Searching for the others, convolutions above all, is most of the time of quantizing.
            SUPPORTED_PATTERNS: ClassVar = [
                pattern for pattern in XNNPACKQuantizer.SUPPORTED_PATTERNS if pattern.name == "linear"
            ]

            def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
                # The base makes float tensors of all scalars, which spoils indices; no layer has any.
                return model

            def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
                model = super().annotate(model)
                for node in model.graph.nodes:
                    if node.target == torch.ops.aten.linear.default and _module_of(node) in weights_only:
                        node.meta["quantization_annotation"] = QuantizationAnnotation(
                            input_qspec_map={node.args[1]: static.weight}, _annotated=True
                        )
                return model

        quantizer, weights_only = LinearQuantizer(), set()
        static = get_symmetric_quantization_config(is_per_channel=True)
        dynamic = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=True)
        for name, module in program.named_modules():
            # A decoder has the network in an attribute of this name.
            precision = precision_of.get(name.removeprefix("model."))
            if isinstance(module, nn.Linear) and precision is not None and precision.stored is not None:
                if precision.activations == "int8_static":
                    quantizer.set_module_name(name, static)
                elif precision.activations == "int8_dynamic":
                    quantizer.set_module_name(name, dynamic)
                else:
                    weights_only.add(name)
        rows = (
            # A decoder takes a row as one prompt, at the beginning of its cache.
            (
                torch.from_numpy(input_ids),
                torch.zeros(1, dtype=torch.int64) if input_shape.cached else torch.from_numpy(attention_mask),
            )
            for input_ids, attention_mask in calibration_inputs
        )
        return quantize_captured(capture(program, input_shape), quantizer, rows)


def _module_of(node: torch.fx.Node) -> str:
    """The name of the module that a node of a captured program is of."""
    path, _ = list(node.meta["nn_module_stack"].values())[-1]
    return str(path)
