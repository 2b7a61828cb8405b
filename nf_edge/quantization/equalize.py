"""Channels of activations made alike before they are quantized, exactly: what a norm is divided by, the layer
after it is multiplied with.

Xiao et al., "SmoothQuant", arXiv 2211.10438, with its α of 0.5: a channel's factor is the root of the largest
magnitude that it was seen with over the largest weight that meets it.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.model import NoiseFormer
from nf_edge.model.network import Block
from nf_edge.quantization.calibration import run_rows

# Factors that would be larger do more harm to what they are folded into than good.
MOST = 2.0**40


@torch.no_grad()
def equalize(network: NoiseFormer, seen: Inputs) -> None:
    """Fold the factors into the norms before attention's projection and before the MLP, and into those two.

    Args:
        network: changed in place, but for rounding not in what it answers.
        seen: rows whose activations are looked at.
    """
    pairs = [pair for block in network.transformer.blocks for pair in _pairs(block)]
    largest = [torch.zeros(layer.in_features) for _, layer in pairs]
    handles = [
        layer.register_forward_pre_hook(_watch(found))
        for (_, layer), found in zip(pairs, largest, strict=True)
    ]
    run_rows(network, seen)
    for handle in handles:
        handle.remove()
    for (norm, layer), found in zip(pairs, largest, strict=True):
        weights = layer.weight.abs().amax(dim=0)
        # A channel that is always 0, or that nothing reads, has nothing to be made like.
        factor = torch.where((found > 0) & (weights > 0), found.sqrt() / weights.sqrt(), 1.0)
        factor = factor.clamp(1 / MOST, MOST)
        norm.weight.div_(factor)
        norm.bias.div_(factor)
        layer.weight.mul_(factor)


def _pairs(block: Block) -> tuple[tuple[nn.LayerNorm, nn.Linear], ...]:
    attention = block.attn
    projection = attention.c_kv if attention.symmetric else attention.c_attn
    return (block.ln_1, projection), (block.ln_2, block.mlp.c_fc)


def _watch(largest: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        torch.maximum(largest, given[0].abs().flatten(0, -2).amax(dim=0), out=largest)

    return hook
