"""Static int8 linear layers, quantized before lowering.

The program uses ExecuTorch's quantize and dequantize operators, which several delegates support.
"""

from functools import partial
from typing import ClassVar

import torch
from torch import nn

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.capture import capture, quantize_captured
from nf_edge.backends.input_shape import Inputs, InputShape
from nf_edge.backends.precisions import Precisions
from nf_edge.core.quiet import quiet_libraries
from nf_edge.model.checkpoint import release_weights


def quantize_linear(
    program: nn.Module, precision_of: Precisions, input_shape: InputShape, calibration_inputs: Inputs
) -> nn.Module:
    """Quantize a program's linear layers to int8 weights, and their inputs as the recipe requests.

    int8_static activations get their ranges from the calibration inputs.  Attention scores are not quantized,
    because the mask's large negative values would use up their int8 range.
    """
    with quiet_libraries():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantizer import QuantizationAnnotation

        class LinearQuantizer(XNNPACKQuantizer):
            # Matching the other patterns, mainly convolutions, takes most of the quantization time.
            SUPPORTED_PATTERNS: ClassVar = [
                pattern for pattern in XNNPACKQuantizer.SUPPORTED_PATTERNS if pattern.name == "linear"
            ]

            def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
                # The base class converts all scalars to float tensors, which breaks indices.  Linear layers
                # have no scalars.
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
            # A decoder holds the network in its attribute `model`.
            precision = precision_of.get(name.removeprefix("model."))
            if isinstance(module, nn.Linear) and precision is not None and precision.stored is not None:
                if precision.activations == "int8_static":
                    quantizer.set_module_name(name, static)
                elif precision.activations == "int8_dynamic":
                    quantizer.set_module_name(name, dynamic)
                else:
                    weights_only.add(name)
        rows = (
            # A decoder reads a row as one prompt that starts at position 0.
            (
                torch.from_numpy(input_ids),
                torch.zeros(1, dtype=torch.int64) if input_shape.cached else torch.from_numpy(attention_mask),
            )
            for input_ids, attention_mask in calibration_inputs
        )
        network = executorch_decoder.network_of(program)
        release = partial(release_weights, network)
        quantized = quantize_captured(capture(program, input_shape), quantizer, rows, release)
        # The lowering releases pages of this file.
        quantized.origin = getattr(network, "origin", None)  # type: ignore[assignment]
        return quantized


def _module_of(node: torch.fx.Node) -> str:
    """The name of the module that contains a node of a captured program."""
    path, _ = list(node.meta["nn_module_stack"].values())[-1]
    return str(path)
