"""Quantization-aware training, by torchao: rounding in the forward pass, gradients as if there were none."""

import torch
from torch import Tensor, nn

from nf_edge.backends.precisions import precisions
from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer


class _ZeroPoints(nn.Module):
    """Weights rounded with zero points.

    torchao 0.18 has float zero points where its weights are asymmetric, and rounds those to whole ones.
    """

    def __init__(self, precision: Precision) -> None:
        super().__init__()
        self._precision = precision

    def forward(self, weight: Tensor) -> Tensor:
        rounded = nearest(weight, self._precision, signed=True).dequantized()
        return weight + (rounded - weight).detach()


def prepare_qat(model: NoiseFormer, recipe: Recipe) -> None:
    """Have linear layers and tables round, in place, as a recipe's `quantize` section will.

    Their parameters stay the same ones, in float32: what is trained is saved, and export quantizes it.

    Raises:
        BadInput: a rule of the recipe is for none of them.
    """
    wanted = precisions(recipe, model.config)
    with quiet_libraries():
        from torchao.quantization import quantize_
        from torchao.quantization.granularity import PerAxis, PerGroup
        from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

        for precision in dict.fromkeys(each for each in wanted.values() if each.bits is not None):

            def alike(_: nn.Module, name: str, precision: Precision = precision) -> bool:
                return wanted.get(name) == precision

            activations = None
            if precision.activations == "int8_dynamic":
                activations = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
            weights = IntxFakeQuantizeConfig(
                getattr(torch, f"int{precision.bits}"),
                granularity=PerGroup(precision.group) if precision.group else PerAxis(0),
                is_symmetric=True,
            )
            quantize_(model, QATConfig(activation_config=activations, weight_config=weights), alike)
    for name, precision in wanted.items():
        if not precision.symmetric:
            model.get_submodule(name).weight_fake_quantizer = _ZeroPoints(precision)
