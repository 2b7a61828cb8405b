"""Set weights of linear layers to zero: single weights, or N of every M consecutive weights (such as 2:4).

Neither XNNPACK nor ONNX Runtime skips zeros, so file size, RAM and time stay the same.  Only a compressed
download gets smaller.
"""

import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from nf_edge.core.recipe.prune import Weights
from nf_edge.model import NoiseFormer
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import finite_logits


def weight_masks(model: NoiseFormer, weights: Weights, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """A bool mask [out, in] of the kept weights of every linear layer except the head, by tensor name.

    "magnitude" ranks the weights of a layer by |weight|.  "wanda" ranks the weights of each output row by
    |weight| · ‖input‖, with the norm over all real tokens (Sun et al., "A Simple and Effective Pruning
    Approach for Large Language Models", 2023).  With a pattern such as 2:4, the weights
    are ranked only within each group of neighbours in a row.
    """
    layers = {name: m for name, m in model.transformer.named_modules() if isinstance(m, nn.Linear)}
    norms = _input_norms(model, layers, batches) if weights.method == "wanda" else {}
    masks = {}
    for name, layer in layers.items():
        score = layer.weight.detach().abs()
        if name in norms:
            score = score * norms[name]
        masks[f"transformer.{name}.weight"] = _mask(score, weights)
    return masks


def apply_masks(tensors: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy of the tensors in which each weight whose mask is false is zero."""
    return {name: tensor * masks[name] if name in masks else tensor for name, tensor in tensors.items()}


def keep_zeros(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Add hooks that zero the gradients of weights whose mask is false, so later training keeps their zeros.

    AdamW then has zero moments for these weights, and weight decay leaves a zero at zero.
    """
    parameters = dict(model.named_parameters())
    for name, mask in masks.items():
        parameters[name].register_hook(lambda gradient, mask=mask: gradient * mask)


def compressed_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of all tensors after deflate, each compressed separately."""
    return sum(len(zlib.compress(tensor.contiguous().numpy().tobytes())) for tensor in tensors.values())


def _mask(score: Tensor, weights: Weights) -> Tensor:
    if weights.pattern is not None:
        kept, group_size = map(int, weights.pattern.split(":"))
        width = score.shape[1] - score.shape[1] % group_size
        groups = score[:, :width].unflatten(1, (-1, group_size))
        best = groups.topk(kept, dim=-1).indices
        mask = torch.ones_like(score, dtype=torch.bool)
        mask[:, :width] = torch.zeros_like(groups, dtype=torch.bool).scatter(-1, best, True).flatten(1)
        return mask
    assert weights.sparsity is not None
    flat = score if weights.method == "wanda" else score.reshape(1, -1)
    smallest = flat.topk(round(weights.sparsity * flat.shape[1]), dim=1, largest=False).indices
    return torch.ones_like(flat, dtype=torch.bool).scatter(1, smallest, False).view_as(score)


def _input_norms(
    model: NoiseFormer, layers: Mapping[str, nn.Linear], batches: Iterable[Batch]
) -> dict[str, Tensor]:
    """The L2 norm of each input of each layer over all real tokens: float32 [in] by layer name."""
    squares = {name: torch.zeros(layer.in_features, dtype=torch.float64) for name, layer in layers.items()}
    with ExitStack() as stack, torch.no_grad():
        mask: list[Tensor] = []
        for name, layer in layers.items():

            def add(module: nn.Module, args: tuple[Tensor], name: str = name) -> None:
                (x,) = args
                # The last layer may compute only one token per row, and that token is never padding.
                if x.shape[1] == mask[0].shape[1]:
                    x = x[mask[0].bool()]
                squares[name] += x.double().square().flatten(0, -2).sum(dim=0)

            stack.callback(layer.register_forward_pre_hook(add).remove)
        rows = 0
        for batch in batches:
            mask[:] = [batch.attention_mask]
            finite_logits(model, batch, "the training rows", rows)
            rows += len(batch.input_ids)
    return {name: total.sqrt().float() for name, total in squares.items()}
