"""An exact rewrite of the network for several backends: fold norms into linear layers."""

import torch
from torch import nn

from nf_edge.model.network import Block


def fold_norms(block: Block) -> None:
    """Fold a block's norm scales and biases into the next linear layers, in place and exactly.

    The norms' weights become 1 and their biases 0.
    """
    _fold(block.ln_1, block.attn.projection)
    _fold(block.ln_2, block.mlp.c_fc)


@torch.no_grad()
def _fold(norm: nn.LayerNorm, linear: nn.Linear) -> None:
    linear.bias.add_(linear.weight @ norm.bias)
    linear.weight.mul_(norm.weight)
    norm.weight.fill_(1)
    norm.bias.zero_()
