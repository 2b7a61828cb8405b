"""What the inputs of a layer are like, seen while a network runs."""

import torch
from torch import Tensor, nn


class Moments:
    """Of what a layer of K inputs is given while this is entered.

    Attributes:
        total: float64 [K, K], Σ x xᵀ.
        magnitude: float64 [K], Σ |x|.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.total = torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64)
        self.magnitude = torch.zeros(layer.in_features, dtype=torch.float64)
        self._layer = layer

    def __enter__(self) -> "Moments":
        self._handle = self._layer.register_forward_pre_hook(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _add(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].detach()
        self.total += moment(x)
        self.magnitude += x.abs().flatten(0, -2).sum(dim=0).double()


def moment(x: Tensor) -> Tensor:
    """[…, K] → Σ x xᵀ, float64 [K, K]."""
    flat = x.reshape(-1, x.shape[-1])
    return (flat.T @ flat).double()
