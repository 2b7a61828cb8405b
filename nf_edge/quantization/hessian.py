"""Statistics of a layer's inputs, collected while a network runs."""

import torch
from torch import Tensor, nn


class InputMoments:
    """Statistics of the inputs x of a layer with K inputs, summed over all calls inside a `with` block.

    Attributes:
        hessian: float64 [K, K], Σ x xᵀ.
        magnitude: float64 [K], Σ |x|.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.hessian = torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64)
        self.magnitude = torch.zeros(layer.in_features, dtype=torch.float64)
        self._layer = layer

    def __enter__(self) -> "InputMoments":
        self._handle = self._layer.register_forward_pre_hook(self._add)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()

    def _add(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].detach()
        self.hessian += second_moment(x)
        self.magnitude += x.abs().flatten(0, -2).sum(dim=0).double()


def second_moment(x: Tensor) -> Tensor:
    """Σ x xᵀ over all leading dimensions of x […, K]; float64 [K, K]."""
    flat = x.reshape(-1, x.shape[-1])
    return (flat.T @ flat).double()
