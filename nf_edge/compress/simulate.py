"""A network that answers, in PyTorch, as if some of its modules were quantized."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.compress.lowered import Weights
from nf_edge.model import NoiseFormer
from nf_edge.precision import Precision, Runtime


@dataclass(frozen=True)
class Change:
    """What becomes of some modules.

    Attributes:
        weights: as they are lowered; a table may have fewer rows than the network's.
        precisions: of the same modules, for how their inputs are rounded.
    """

    weights: Weights = field(default_factory=dict)
    precisions: Mapping[str, Precision] = field(default_factory=dict)

    def __or__(self, other: "Change") -> "Change":
        return Change(self.weights | other.weights, {**self.precisions, **other.precisions})


@contextmanager
def changed(network: NoiseFormer, change: Change, runtime: Runtime) -> Iterator[None]:
    """The network with a change, which it is rid of in the end.

    Args:
        network: the plain form, in float32.  It must be given one row at a time, without padding: a range of
            activations may be that of a row.
    """
    kept, handles = {}, []
    try:
        for name, lowered in change.weights.items():
            module = network.get_submodule(name)
            kept[name] = weight = module.get_parameter("weight")
            values = torch.cat([lowered, weight[len(lowered) :]])
            # Not in place: a head may share it with a table.
            module.register_parameter("weight", nn.Parameter(values, requires_grad=False))
            precision = change.precisions[name]
            if isinstance(module, nn.Linear) and precision.activations != "none":
                rounding = partial(_hook, precision=precision, runtime=runtime)
                handles.append(module.register_forward_pre_hook(rounding))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for name, weight in kept.items():
            network.get_submodule(name).register_parameter("weight", weight)


def _hook(_: nn.Module, given: tuple[Tensor, ...], precision: Precision, runtime: Runtime) -> Tensor:
    return round_activations(given[0], precision, runtime)


def round_activations(x: Tensor, precision: Precision, runtime: Runtime) -> Tensor:
    """Inputs [1, …, K] of a linear layer as a runtime rounds them to int8, dequantized again.

    ExecuTorch has a range a token; ONNX Runtime a scale for each group of a token where the weights have
    groups, else a range a row.  A static range is here that of the row, for want of what it is calibrated on.
    """
    dynamic = precision.activations == "int8_dynamic"
    if dynamic and runtime == "executorch":
        return _affine(x, x.amin(-1, keepdim=True), x.amax(-1, keepdim=True))
    if dynamic and precision.group:
        groups = x.unflatten(-1, (-1, precision.group))
        return _symmetric(groups).flatten(-2)
    return _affine(x, x.amin(), x.amax())


def _affine(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """To 256 levels between two values, 0 among them exactly."""
    low, high = low.clamp(max=0), high.clamp(min=0)
    scale = ((high - low) / 255).clamp(min=torch.finfo(x.dtype).tiny)
    zero = (-low / scale).round()
    return ((x / scale + zero).round().clamp(0, 255) - zero) * scale


def _symmetric(x: Tensor) -> Tensor:
    scale = (x.abs().amax(-1, keepdim=True) / 127).clamp(min=torch.finfo(x.dtype).tiny)
    return (x / scale).round() * scale


class Simulated:
    """A changed network as a session that is asked as an artifact is."""

    def __init__(self, network: NoiseFormer, change: Change, runtime: Runtime) -> None:
        self._network, self._change, self._runtime = network, change, runtime

    @torch.no_grad()
    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """int64 [1, T] → float32 logits; one row, all of it real."""
        with changed(self._network, self._change, self._runtime):
            logits: np.ndarray = self._network(torch.from_numpy(input_ids)).numpy()
        return logits


@dataclass(frozen=True)
class Divergence:
    """Mean divergence in nats over all questions, and its standard error."""

    kl: float
    error: float | None


@torch.no_grad()
def divergences(
    reference: NoiseFormer,
    changes: Sequence[tuple[NoiseFormer, Change]],
    runtime: Runtime,
    rows: Sequence[Row],
    progress: Progress,
) -> list[Divergence]:
    """How far the answers of changed networks are from the reference's, on the same rows.

    No more logits are held than two networks' of one row.

    Args:
        changes: each with the plain form of the network that it is for.
    """
    found: list[list[np.ndarray]] = [[] for _ in changes]
    row_of: list[np.ndarray] = []
    for number, row in enumerate(rows):
        ids = torch.tensor([row.input_ids])
        wanted = _logits(reference, ids)
        row_of.append(np.full(len(wanted), number))
        for values, (network, change) in zip(found, changes, strict=True):
            with changed(network, change, runtime):
                values.append(_divergence(wanted, _logits(network, ids)))
        progress("quantizing one unit at a time", number + 1, len(rows))
    cluster = np.concatenate(row_of)
    every = (np.concatenate(values) for values in found)
    return [Divergence(float(values.mean()), clustered_error(values, cluster)) for values in every]


def _logits(network: NoiseFormer, ids: Tensor) -> Tensor:
    """Of each question of a row, [q, C]: a classifier's one, or the next token after each but the last."""
    logits: Tensor = network(ids)
    return logits[0, :-1] if logits.dim() == 3 else logits


def _divergence(wanted: Tensor, found: Tensor) -> np.ndarray:
    pieces = zip(wanted.split(PIECE), found.split(PIECE), strict=True)
    parts = [divergence(*(x.double().log_softmax(-1) for x in pair)) for pair in pieces]
    return torch.cat(parts).numpy() if parts else np.zeros(0)
