"""Dropout during training, added by hooks.  The network for inference has none."""

import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.model.network import Transformer


def add_dropout(model: nn.Module, share: float) -> None:
    """Drop a share (0 to 1) of the values in the same places as GPT-2.

    These places are the embeddings, and the outputs of attention and MLP before they are added to the
    residual stream.
    """
    transformer = model.get_submodule("transformer")
    assert isinstance(transformer, Transformer)

    def drop(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return F.dropout(output, share, module.training)

    def drop_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        embedded, *others = inputs
        return F.dropout(embedded, share, module.training), *others

    for i, block in enumerate(transformer.blocks):
        if i == 0:
            block.register_forward_pre_hook(drop_input)
        block.attn.c_proj.register_forward_hook(drop)
        block.mlp.c_proj.register_forward_hook(drop)
