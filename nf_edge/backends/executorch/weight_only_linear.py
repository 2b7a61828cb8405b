"""Linear layers with quantized weights and float activations, for ExecuTorch.

Delegates recognize this form and multiply with the codes directly.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, code_range, nearest
from nf_edge.core.quiet import quiet_libraries


class WeightOnlyLinear(nn.Module):
    """A linear layer with integer weights.

    Delegates recognize the operator that dequantizes them: torchao's for groups, ExecuTorch's for channels.

    Args:
        bits: bits per stored weight; the codes may need fewer.
        group: number of inputs that share a scale; None is one scale per output channel.
    """

    codes: Tensor
    scales: Tensor
    zeros: Tensor

    def __init__(
        self, quantized_weight: QuantizedWeight, bits: int, group: int | None, bias: Tensor | None
    ) -> None:
        super().__init__()
        self._bits, self._group = bits, group
        self.register_buffer("codes", quantized_weight.codes)
        self.register_buffer(
            "scales", quantized_weight.scales if group else quantized_weight.scales.squeeze(1)
        )
        self.register_buffer("zeros", torch.zeros_like(self.scales, dtype=torch.int64))
        self.bias = bias if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Compute float32 [B, T, out] from x, float32 [B, T, in]."""
        return F.linear(x, self.dequantized(), self.bias)

    def dequantized(self) -> Tensor:
        """The weights as float32 [out, in]."""
        codes, scales, zeros, levels = self.codes, self.scales, self.zeros, code_range(self._bits)
        if self._group is None:
            per_channel = torch.ops.quantized_decomposed.dequantize_per_channel
            return per_channel(codes, scales, zeros, 0, *levels, torch.int8)
        return torch.ops.torchao.dequantize_affine(
            codes, [1, self._group], scales, zeros, torch.int8, *levels
        )


def quantize_weights(
    network: nn.Module, precision_of: Precisions, quantized_weights: Mapping[str, QuantizedWeight]
) -> None:
    """Replace linear layers with quantized weights and float activations, in place.

    Args:
        quantized_weights: weights that are already rounded, by the names of their layers.  Other weights are
            rounded to the nearest.
    """
    with quiet_libraries():
        # These imports register the operators.
        import executorch.exir.passes._quant_patterns_and_replacements  # noqa: F401
        import torchao  # noqa: F401
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.Linear) and precision_of[name].activations == "none":
            precision = precision_of[name]
            if precision.stored is not None:
                quantized_weight = quantized_weights.get(name) or nearest(
                    module.weight, precision, signed=True
                )
                layer = WeightOnlyLinear(quantized_weight, precision.stored, precision.group, module.bias)
                network.set_submodule(name, layer)
