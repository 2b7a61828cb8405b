"""Exact rewrites of a network that several backends make."""

import torch
from torch import nn

from nf_edge.model.network import Block


def fold_norms(block: Block) -> None:
    """Fold the affine parts of a block's norms into the linear layers that follow, in place and exactly: what
    is left are weights of 1 and biases of 0."""
    _fold(block.ln_1, block.attn.projection)
    _fold(block.ln_2, block.mlp.c_fc)


@torch.no_grad()
def _fold(norm: nn.LayerNorm, linear: nn.Linear) -> None:
    linear.bias.add_(linear.weight @ norm.bias)
    linear.weight.mul_(norm.weight)
    norm.weight.fill_(1)
    norm.bias.zero_()
