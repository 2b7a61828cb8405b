"""Linear layers for XNNPACK, by torchao: ranges of activations found at run time, or calibrated."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nf_edge.backends.base import Bounds
from nf_edge.backends.capture import capture
from nf_edge.compress.calibrate import Inputs
from nf_edge.compress.grid import Grid
from nf_edge.quiet import quiet_libraries
from nf_edge.rules import Precisions


def quantize_dynamic(program: nn.Module, wanted: Precisions, grids: Mapping[str, Grid]) -> None:
    """Quantize linear layers in place.

    Args:
        grids: weights that are rounded already, by the names of their layers.
    """
    layers = {
        name: wanted[name]
        for name, module in program.named_modules()
        if isinstance(module, nn.Linear) and wanted[name].stored is not None
    }
    with quiet_libraries():
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup

        for stored, group in dict.fromkeys((each.stored, each.group) for each in layers.values()):

            def alike(_: nn.Module, name: str, scaling: Any = (stored, group)) -> bool:
                return name in layers and (layers[name].stored, layers[name].group) == scaling

            config = Int8DynamicActivationIntxWeightConfig(
                weight_dtype=getattr(torch, f"int{stored}"),
                weight_granularity=PerGroup(group) if group else PerAxis(0),
            )
            quantize_(program, config, alike)
        for name, grid in grids.items():
            layer = program.get_submodule(name)
            # A table has been replaced before.
            if isinstance(layer, nn.Linear):
                layer.weight = nn.Parameter(_as_torchao(layer.weight, grid), requires_grad=False)


def _as_torchao(weight: Tensor, grid: Grid) -> Tensor:
    """A grid in the form that torchao gave to the weights of a layer."""
    parts, attributes = weight.__tensor_flatten__()  # type: ignore[attr-defined]
    tensors = {part: getattr(weight, part) for part in parts}
    tensors |= {"qdata": grid.codes, "scale": grid.scales}
    rounded: Tensor = type(weight).__tensor_unflatten__(tensors, attributes, None, None)  # type: ignore
    return rounded


def quantize_static(program: nn.Module, wanted: Precisions, bounds: Bounds, seen: Inputs) -> nn.Module:
    """A captured program whose linear layers of int8_static have int8 inputs and outputs of the ranges seen;
    those of int8_dynamic find the ranges of their inputs at run time.

    Only linear layers: the products of two activations have no int8 kernel in XNNPACK, and a mask
    among quantized scores would take all of their range.
    """
    with quiet_libraries():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        class LinearQuantizer(XNNPACKQuantizer):
            def transform_for_annotation(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
                # The base makes float tensors of all scalars, which spoils indices; no layer has any.
                return model

        quantizer = LinearQuantizer()
        for name, module in program.named_modules():
            # A decoder has the network in an attribute of this name.
            precision = wanted.get(name.removeprefix("model."))
            if isinstance(module, nn.Linear) and precision is not None and precision.stored is not None:
                dynamic = precision.activations == "int8_dynamic"
                config = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=dynamic)
                quantizer.set_module_name(name, config)
        # A captured program checks its inputs unless told not to, which the quantizer cannot follow.
        captured = capture(program, bounds).module(check_guards=False)
        prepared = prepare_pt2e(captured, quantizer)
        for input_ids, attention_mask in seen:
            # A decoder takes a row as one prompt, at the beginning of its cache.
            second = torch.zeros(1, dtype=torch.int64) if bounds.cached else torch.from_numpy(attention_mask)
            prepared(torch.from_numpy(input_ids), second)
        converted: nn.Module = convert_pt2e(prepared)
        return converted
