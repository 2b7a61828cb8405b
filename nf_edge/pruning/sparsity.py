"""Zeros among the weights of linear layers: unstructured, or so many of each few in a row.

Neither XNNPACK nor ONNX Runtime skips them, so they save no file, no RAM and no time there: only a compressed
download is smaller.
"""

import zlib
from collections.abc import Iterable, Mapping
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from nf_edge.core.recipe.prune import Weights
from nf_edge.model import NoiseFormer
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import finite_answer


def masks(model: NoiseFormer, weights: Weights, batches: Iterable[Batch]) -> dict[str, Tensor]:
    """Which weights stay: bool, by the name of the tensor, of every linear layer below the head.

    Magnitude compares within a layer.  Wanda compares |weight| · ‖input‖ within an output's row, the norm
    taken over all real tokens (Sun et al., "A Simple and Effective Pruning Approach for Large Language
    Models", 2023); a pattern compares within its few neighbours in a row, by either.
    """
    layers = {name: m for name, m in model.transformer.named_modules() if isinstance(m, nn.Linear)}
    norms = _input_norms(model, layers, batches) if weights.method == "wanda" else {}
    found = {}
    for name, layer in layers.items():
        score = layer.weight.detach().abs()
        if name in norms:
            score = score * norms[name]
        found[f"transformer.{name}.weight"] = _kept(score, weights)
    return found


def apply_masks(tensors: Mapping[str, Tensor], stay: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with zeros where nothing stays."""
    return {name: tensor * stay[name] if name in stay else tensor for name, tensor in tensors.items()}


def keep_zeros(model: nn.Module, stay: Mapping[str, Tensor]) -> None:
    """From now on no step of training moves a weight that does not stay.

    Without a gradient AdamW has no moments of it, and decays it from zero to zero.
    """
    parameters = dict(model.named_parameters())
    for name, mask in stay.items():
        parameters[name].register_hook(lambda gradient, mask=mask: gradient * mask)


def compressed_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Size of the tensors' bytes as a download, by deflate."""
    return sum(len(zlib.compress(tensor.contiguous().numpy().tobytes())) for tensor in tensors.values())


def _kept(score: Tensor, weights: Weights) -> Tensor:
    if weights.pattern is not None:
        stay, of = map(int, weights.pattern.split(":"))
        width = score.shape[1] - score.shape[1] % of
        groups = score[:, :width].unflatten(1, (-1, of))
        best = groups.topk(stay, dim=-1).indices
        mask = torch.ones_like(score, dtype=torch.bool)
        mask[:, :width] = torch.zeros_like(groups, dtype=torch.bool).scatter(-1, best, True).flatten(1)
        return mask
    assert weights.sparsity is not None
    flat = score if weights.method == "wanda" else score.reshape(1, -1)
    gone = flat.topk(round(weights.sparsity * flat.shape[1]), dim=1, largest=False).indices
    return torch.ones_like(flat, dtype=torch.bool).scatter(1, gone, False).view_as(score)


def _input_norms(
    model: NoiseFormer, layers: Mapping[str, nn.Linear], batches: Iterable[Batch]
) -> dict[str, Tensor]:
    """The root of the sum of squares of each input of each layer, [in]."""
    squares = {name: torch.zeros(layer.in_features, dtype=torch.float64) for name, layer in layers.items()}
    with ExitStack() as stack, torch.no_grad():
        mask: list[Tensor] = []
        for name, layer in layers.items():

            def add(module: nn.Module, args: tuple[Tensor], name: str = name) -> None:
                (x,) = args
                # The last layer may answer for one token, which is a real one.
                if x.shape[1] == mask[0].shape[1]:
                    x = x[mask[0].bool()]
                squares[name] += x.double().square().flatten(0, -2).sum(dim=0)

            stack.callback(layer.register_forward_pre_hook(add).remove)
        rows = 0
        for batch in batches:
            mask[:] = [batch.attention_mask]
            finite_answer(model, batch, "the training rows", rows)
            rows += len(batch.input_ids)
    return {name: total.sqrt().float() for name, total in squares.items()}
