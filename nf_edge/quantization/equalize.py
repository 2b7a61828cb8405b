"""Balance the channels between a norm and the next layer, to reduce the error of quantized activations.

Xiao et al., "SmoothQuant", arXiv 2211.10438, with α = 0.5. A channel's factor is √(largest activation /
largest weight). The norm's output is divided by the factor, and the layer's weights are multiplied by it. The
float32 network's outputs stay the same.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.model import NoiseFormer
from nf_edge.model.network import Block
from nf_edge.quantization.calibration import run_rows

# Larger factors could overflow or underflow the parameters of the norm and the layer.
MAX_FACTOR = 2.0**40


@torch.no_grad()
def equalize(network: NoiseFormer, calibration_inputs: Inputs) -> None:
    """Fold balancing factors into both norms of every block and into the next layers, in place.

    Args:
        network: its outputs stay the same up to float32 rounding.
        calibration_inputs: the rows that the largest activations are taken from.
    """
    pairs = [pair for block in network.transformer.blocks for pair in _norms_and_layers(block)]
    largest_activations = [torch.zeros(layer.in_features) for _, layer in pairs]
    handles = [
        layer.register_forward_pre_hook(_track_largest(largest))
        for (_, layer), largest in zip(pairs, largest_activations, strict=True)
    ]
    run_rows(network, calibration_inputs)
    for handle in handles:
        handle.remove()
    for (norm, layer), largest in zip(pairs, largest_activations, strict=True):
        weights = layer.weight.abs().amax(dim=0)
        # A channel with only zero inputs or only zero weights keeps its scale.
        factor = torch.where((largest > 0) & (weights > 0), largest.sqrt() / weights.sqrt(), 1.0)
        factor = factor.clamp(1 / MAX_FACTOR, MAX_FACTOR)
        norm.weight.div_(factor)
        norm.bias.div_(factor)
        layer.weight.mul_(factor)


def _norms_and_layers(block: Block) -> tuple[tuple[nn.LayerNorm, nn.Linear], ...]:
    return (block.ln_1, block.attn.projection), (block.ln_2, block.mlp.c_fc)


def _track_largest(largest: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A forward hook that keeps the largest magnitude of each input channel in `largest` [K]."""

    def hook(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        torch.maximum(largest, inputs[0].abs().flatten(0, -2).amax(dim=0), out=largest)

    return hook
