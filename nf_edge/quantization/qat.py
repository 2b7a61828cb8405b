"""Quantization-aware training with torchao: the forward pass rounds, and gradients ignore the rounding."""

import torch
from torch import Tensor, nn

from nf_edge.backends.precisions import precisions
from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer


class _RoundWithZeroPoints(nn.Module):
    """Rounds weights with integer zero points.  torchao 0.18 has float zero points and rounds them
    afterwards.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self._precision = precision

    def forward(self, weight: Tensor) -> Tensor:
        rounded = nearest(weight, self._precision, signed=True).dequantized()
        return weight + (rounded - weight).detach()


def prepare_qat(model: NoiseFormer, recipe: Recipe) -> None:
    """Make linear layers and tables round as the recipe's `quantize` section requires, in place.

    The parameters stay the same float32 tensors.  Training changes them, and the export quantizes them.

    Raises:
        BadInput: a rule of the recipe matches no module, or never applies.
    """
    by_module = precisions(recipe, model.config)
    with quiet_libraries():
        from torchao.quantization import quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup
        from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

        quantized = (precision for precision in by_module.values() if precision.bits is not None)
        for precision in dict.fromkeys(quantized):

            def has_precision(_: nn.Module, name: str, precision: Precision = precision) -> bool:
                return by_module.get(name) == precision

            activations = None
            if precision.activations == "int8_dynamic":
                activations = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
            weights = IntxFakeQuantizeConfig(
                getattr(torch, f"int{precision.bits}"),
                granularity=PerGroup(precision.group) if precision.group else PerAxis(0),
                is_symmetric=True,
            )
            quantize_(model, QATConfig(activation_config=activations, weight_config=weights), has_precision)
    for name, precision in by_module.items():
        if not precision.symmetric:
            model.get_submodule(name).weight_fake_quantizer = _RoundWithZeroPoints(precision)
