"""Simulate, in PyTorch, a network with some quantized modules."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.quantized_weights import Weights
from nf_edge.core.intervals import clustered_error
from nf_edge.core.progress import Progress
from nf_edge.core.recipe.precision import Precision
from nf_edge.measure.accuracy.divergence import kl_divergence
from nf_edge.model import NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.model.finite import finite

# Number of tokens whose logits are compared at once.
PIECE = 128


@dataclass(frozen=True)
class Change:
    """A change to some modules of a network.

    Attributes:
        network: the unchanged network, in float32 and plain PyTorch operators.
        weights: the lowered weights of the changed modules; a table may have fewer rows than the network's.
        precisions: maps at least the changed modules to their precision, which determines how their inputs
            are rounded.
        row_scales: if false, each dynamic range covers one token.  If true, it covers one group of a token if
            the weights have groups, otherwise one row.
    """

    network: NoiseFormer
    weights: Weights
    precisions: Mapping[str, Precision]
    row_scales: bool

    @contextmanager
    def made(self) -> Iterator[NoiseFormer]:
        """The network with the change; the change is undone at the end of the block.

        The network takes one row at a time, without padding, because a range of activations may depend on the
        row.
        """
        kept, handles = {}, []
        try:
            for name, lowered in self.weights.items():
                module = self.network.get_submodule(name)
                kept[name] = weight = module.get_parameter("weight")
                # Not in place: a head may share its weight with a table.
                _put(module, torch.cat([lowered, weight[len(lowered) :]]))
                if isinstance(module, nn.Linear) and self.precisions[name].activations != "none":
                    hook = partial(_hook, precision=self.precisions[name], row_scales=self.row_scales)
                    handles.append(module.register_forward_pre_hook(hook))
            yield self.network
        finally:
            for handle in handles:
                handle.remove()
            for name, weight in kept.items():
                _put(self.network.get_submodule(name), weight)

    @torch.no_grad()
    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from the ids and the mask of a row without padding, int64 [1, T] each."""
        with self.made() as network:
            logits: np.ndarray = network(torch.from_numpy(input_ids)).numpy()
        return logits


def dequantized(network: NoiseFormer, weights: Weights) -> NoiseFormer:
    """The network with dequantized weights, changed in place; all activations stay float32.

    Args:
        weights: the weights by module; a table may have fewer rows than the network's.
    """
    for name, lowered in weights.items():
        module = network.get_submodule(name)
        # Not in place: a head may share its weight with a table.
        _put(module, torch.cat([lowered, module.get_parameter("weight")[len(lowered) :]]))
    return network


def _put(module: nn.Module, weight: Tensor) -> None:
    module.register_parameter("weight", nn.Parameter(weight, requires_grad=False))


def _hook(_: nn.Module, given: tuple[Tensor, ...], precision: Precision, row_scales: bool) -> Tensor:
    return round_activations(given[0], precision, row_scales)


def round_activations(x: Tensor, precision: Precision, row_scales: bool) -> Tensor:
    """Inputs [1, …, K] of a linear layer, rounded to int8 as at run time and dequantized again.

    A dynamic range covers one token.  With `row_scales`, it covers one group of a token if the weights have
    groups, otherwise one row.  A static range is simulated by the range of the row, because no calibrated
    range is known.
    """
    dynamic = precision.activations == "int8_dynamic"
    if dynamic and not row_scales:
        return _affine(x, x.amin(-1, keepdim=True), x.amax(-1, keepdim=True))
    if dynamic and precision.group:
        return _symmetric(x.unflatten(-1, (-1, precision.group))).flatten(-2)
    return _affine(x, x.amin(), x.amax())


def _affine(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The values of x, rounded to 256 levels from `low` to `high`; 0 is always a level."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / 255).clamp(min=torch.finfo(x.dtype).tiny)
    zero = (-low / scale).round()
    return ((x / scale + zero).round().clamp(0, 255) - zero) * scale


def _symmetric(x: Tensor) -> Tensor:
    scale = (x.abs().amax(-1, keepdim=True) / 127).clamp(min=torch.finfo(x.dtype).tiny)
    return (x / scale).round() * scale


@dataclass(frozen=True)
class MeanDivergence:
    """The mean divergence over all predictions.

    Attributes:
        kl: in nats; infinite if a prediction is not finite.
        error: standard error of `kl`; None for a single text, and if `kl` is infinite.
    """

    kl: float
    error: float | None


@torch.no_grad()
def divergences(
    reference: NoiseFormer, changes: Sequence[Change], rows: Rows, progress: Progress
) -> list[MeanDivergence]:
    """The divergence of each changed network's predictions from the reference's, on the same rows.

    Only the logits of two networks for one row are in memory at a time.

    Raises:
        BadInput: logits of the reference are not finite.
    """
    divergences: list[list[np.ndarray]] = [[] for _ in changes]
    row_of: list[np.ndarray] = []
    for number, row in enumerate(rows.rows):
        ids = torch.tensor([row.input_ids])
        expected = _of_questions(finite(reference, ids, rows=rows.source, first=number))
        row_of.append(np.full(len(expected), number))
        for values, change in zip(divergences, changes, strict=True):
            with change.made() as network:
                values.append(_divergence(expected, _of_questions(network(ids))))
        progress("quantizing one unit at a time", number + 1, len(rows.rows))
    cluster = np.concatenate(row_of)
    every = [np.concatenate(values) for values in divergences]
    return [MeanDivergence(float(values.mean()), clustered_error(values, cluster)) for values in every]


def _of_questions(logits: Tensor) -> Tensor:
    """The logits [Q, C] of a row's predictions: one for its class, or one per token except the last."""
    return logits[0, :-1] if logits.dim() == 3 else logits


def _divergence(expected: Tensor, actual: Tensor) -> np.ndarray:
    """The KL divergence of each prediction, float64 [Q] in nats, from logits [Q, C]."""
    pieces = zip(expected.split(PIECE), actual.split(PIECE), strict=True)
    parts = [kl_divergence(*(x.double().log_softmax(-1) for x in pair)) for pair in pieces]
    return torch.cat(parts).numpy()
