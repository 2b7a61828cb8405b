"""Quantized linear layers for XNNPACK, by torchao; activation ranges are computed at run time."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import BLOCK, QuantizedWeight
from nf_edge.core.quiet import quiet_libraries
from nf_edge.model.checkpoint import MappedPages


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

        pages = MappedPages(program)
        for name, precision in layers.items():
            group = precision.group
            config = Int8DynamicActivationIntxWeightConfig(
                weight_dtype=getattr(torch, f"int{precision.stored}"),
                weight_granularity=PerGroup(group) if group else PerAxis(0),
            )
            layer = cast(nn.Linear, program.get_submodule(name))
            layer.weight = nn.Parameter(
                _rounded(layer.weight, partial(quantize_, config=config)), requires_grad=False
            )
            pages.read(layer.weight)
        for name, quantized_weight in quantized_weights.items():
            layer = cast(nn.Linear, program.get_submodule(name))
            if name in layers:
                parts = {"qdata": quantized_weight.codes, "scale": quantized_weight.scales}
                layer.weight = nn.Parameter(_with_parts(layer.weight, parts), requires_grad=False)


def _rounded(weight: Tensor, quantize: Callable[[nn.Linear], None]) -> Tensor:
    """A matrix as torchao's tensor; rows are rounded in blocks, because torchao copies them three times.

    Args:
        quantize: quantizes a layer in place.
    """
    rounded = []
    for block in weight.detach().split(max(BLOCK // weight.shape[1], 1)):
        layer = nn.Linear(block.shape[1], block.shape[0], bias=False, device="meta")
        layer.weight = nn.Parameter(block, requires_grad=False)
        quantize(layer)
        rounded.append(layer.weight.detach())
    names, _ = rounded[0].__tensor_flatten__()  # type: ignore[attr-defined]
    parts = {name: torch.cat([getattr(each, name) for each in rounded]) for name in names}
    return _with_parts(rounded[0], parts)


def _with_parts(weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    """A copy of torchao's `weight` that has other codes, scales or zero points, by torchao's names."""
    names, attributes = weight.__tensor_flatten__()  # type: ignore[attr-defined]
    tensors = {name: getattr(weight, name) for name in names} | dict(parts)
    copy: Tensor = type(weight).__tensor_unflatten__(tensors, attributes, None, None)  # type: ignore
    return copy
