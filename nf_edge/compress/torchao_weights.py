"""Linear layers for XNNPACK, by torchao, whose ranges of activations are found at run time."""

import torch
from torch import Tensor, nn

from nf_edge.compress.gptq import Grid
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import GROUP_SIZE, Quantize


def quantize_dynamic(program: nn.Module, quantize: Quantize, grids: dict[str, Grid]) -> None:
    """Quantize the linear layers in place; int4 by groups where those divide a layer, else int8.

    Args:
        grids: int4 weights that are rounded already, by the names of their layers.
    """
    with quiet_libraries():
        from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup

        int8 = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int8, weight_granularity=PerAxis(0))
        int4 = Int8DynamicActivationIntxWeightConfig(
            weight_dtype=torch.int4,  # type: ignore[attr-defined]
            weight_granularity=PerGroup(GROUP_SIZE),
        )

        for dtype, config in (("int8", int8), ("int4", int4)):

            def wanted(module: nn.Module, name: str, dtype: str = dtype) -> bool:
                return isinstance(module, nn.Linear) and quantize.linear_dtype(module.in_features) == dtype

            quantize_(program, config, wanted)
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
