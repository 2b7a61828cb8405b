"""Linear layers whose weights alone are quantized, for ExecuTorch: the delegate that takes one multiplies its
codes as they are."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, code_range, nearest
from nf_edge.core.quiet import quiet_libraries


class WeightOnlyLinear(nn.Module):
    """A linear layer of integer weights, dequantized by the operators that delegates look for: torchao's of
    groups, ExecuTorch's of channels.

    Args:
        bits: that a weight takes; the codes of the grid may need fewer.
        group: inputs that share a scale; None is one for each output channel.
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
        """float32 [B, T, in] → [B, T, out]."""
        return F.linear(x, self.dequantized(), self.bias)

    def dequantized(self) -> Tensor:
        """float32 [out, in]."""
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
    """Replace, in place, the linear layers whose weights are to be quantized and their inputs not.

    Args:
        quantized_weights: weights that are rounded already, by the names of their layers; others are rounded
            to the nearest.
    """
    with quiet_libraries():
        # They register the operators.
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
