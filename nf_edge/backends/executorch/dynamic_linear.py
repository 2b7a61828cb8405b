"""Quantized linear layers for XNNPACK, by torchao; activation ranges are computed at run time."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight
from nf_edge.core.quiet import quiet_libraries


def quantize_dynamic(
    program: nn.Module, precision_of: Precisions, quantized_weights: Mapping[str, QuantizedWeight]
) -> None:
    """Quantize in place the linear layers whose precision has `int8_dynamic` activations.

    Args:
        quantized_weights: weights that are already rounded, by the names of their layers.  Other weights are
            rounded to the nearest.
    """
    layers = {
        name: precision_of[name]
        for name, module in program.named_modules()
        if isinstance(module, nn.Linear) and precision_of[name].activations == "int8_dynamic"
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
        for name, quantized_weight in quantized_weights.items():
            layer = program.get_submodule(name)
            if name in layers and isinstance(layer, nn.Linear):
                layer.weight = nn.Parameter(_as_torchao(layer.weight, quantized_weight), requires_grad=False)


def _as_torchao(weight: Tensor, quantized_weight: QuantizedWeight) -> Tensor:
    """A copy of torchao's `weight` that has the codes and scales of `quantized_weight`."""
    parts, attributes = weight.__tensor_flatten__()  # type: ignore[attr-defined]
    tensors = {part: getattr(weight, part) for part in parts}
    tensors |= {"qdata": quantized_weight.codes, "scale": quantized_weight.scales}
    rounded: Tensor = type(weight).__tensor_unflatten__(tensors, attributes, None, None)  # type: ignore
    return rounded
