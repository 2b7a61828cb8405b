"""The importance of each head and inner unit, by the first-order Taylor estimate.

A gate of 1 multiplies each head's input of `attn.c_proj` and each unit's input of `mlp.c_proj`.  The
derivative of a row's loss with respect to a gate estimates the change of the loss if the gate is closed.
Importance is the mean magnitude of that derivative over rows (Michel et al., "Are Sixteen Heads Really Better
than One?", 2019; Molchanov et al., "Importance Estimation for Neural Network Pruning", 2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.model import NoiseFormer
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import example_losses, finite_logits

# The name of the rows in messages.
TRAINING = "the training rows"


@dataclass(frozen=True)
class Importance:
    """The importance of each head and inner unit of a layer: float64 [heads] and [inner units].

    Each value is the estimated change of a row's loss, in nats, if the head or inner unit is removed.
    """

    heads: Tensor
    units: Tensor


def importance(model: NoiseFormer, batches: Sequence[Batch], progress: Progress = silent) -> list[Importance]:
    """The importance of every head and unit over labelled rows; one value of `Importance` per layer.

    Args:
        model: in inference mode, without gradients of its parameters; it is not changed.

    Raises:
        BadInput: the model's outputs or their derivatives are not finite.
    """
    gates = [_Gates(block.attn.heads, block.mlp.c_fc.out_features) for block in model.transformer.blocks]
    hooks = []
    for block, gate in zip(model.transformer.blocks, gates, strict=True):
        hooks.append(block.attn.c_proj.register_forward_pre_hook(gate.on_heads))
        hooks.append(block.mlp.c_proj.register_forward_pre_hook(gate.on_units))
    rows = 0
    try:
        for done, batch in enumerate(batches, 1):
            assert batch.labels is not None
            for gate in gates:
                gate.open(len(batch.input_ids))
            # Rows are independent.  So the derivative of the summed loss by the gates of a row equals the
            # derivative of this row's loss.
            example_losses(finite_logits(model, batch, TRAINING, rows), batch.labels).sum().backward()
            for gate in gates:
                gate.add()
            rows += len(batch.input_ids)
            progress("scoring heads and inner units", done, len(batches))
    finally:
        for hook in hooks:
            hook.remove()
    importances = [Importance(gate.heads_total / rows, gate.units_total / rows) for gate in gates]
    for layer, each in enumerate(importances):
        if not (each.heads.isfinite().all() and each.units.isfinite().all()):
            raise BadInput(
                f"the importance of heads and inner units in transformer.h.{layer} is not finite",
                where=model.origin,
                fix="correct the checkpoint's weights, or remove the keys `heads`, `inner` and `targets` "
                "from the recipe's section `prune`",
            )
    return importances


class _Gates:
    """Gates of one layer: factors of 1 on its heads and inner units, separate for each row of a batch.

    They record the derivatives of the loss with respect to these factors.
    """

    def __init__(self, heads: int, units: int) -> None:
        self.heads_total, self.units_total = (torch.zeros(n, dtype=torch.float64) for n in (heads, units))

    def open(self, rows: int) -> None:
        self._heads = torch.ones(rows, 1, len(self.heads_total), requires_grad=True)
        self._units = torch.ones(rows, 1, len(self.units_total), requires_grad=True)

    def on_heads(self, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        (x,) = args
        width = x.shape[-1] // self._heads.shape[-1]
        return (x * self._heads.repeat_interleave(width, dim=-1),)

    def on_units(self, module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        return (args[0] * self._units,)

    def add(self) -> None:
        assert self._heads.grad is not None
        assert self._units.grad is not None
        self.heads_total += self._heads.grad.abs().sum(dim=(0, 1)).double()
        self.units_total += self._units.grad.abs().sum(dim=(0, 1)).double()
