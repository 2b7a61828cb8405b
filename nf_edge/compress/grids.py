"""GPTQ over a whole network: the token table first, then each layer for the inputs that it then gets."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nf_edge.compress.calibrate import Inputs
from nf_edge.compress.gptq import Grid, gptq
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.recipe import Quantize

TABLE, HEAD = "transformer.wte", "lm_head"


def grids_of(network: NoiseFormer, seen: Inputs, how: Quantize, signed: bool) -> dict[str, Grid]:
    """What becomes of the layers and of the table that get int4, by name.

    Args:
        network: the plain form; changed in place, its weights becoming what their grids stand for.
        seen: rows to calibrate on.
        signed: whether scales may be negative.
    """
    rows = [torch.from_numpy(ids[:, : int(mask.sum())]) for ids, mask in seen]
    grids = {}
    table = network.transformer.wte
    if how.table_dtype(table.embedding_dim) == "int4":
        grids[TABLE] = grid = gptq(table.weight, _table_hessian(network, rows), signed)
        if _tied(network):
            grids[HEAD] = grid
            _put(network.get_submodule(HEAD), grid)
        _put(table, grid)
    with torch.no_grad():
        _blocks(network, rows, how, signed, grids)
        for name, layer in _layers(network, how):
            if name not in grids:
                grids[name] = _settle(layer, lambda: [network(ids) for ids in rows], signed)
    return grids


def _tied(network: NoiseFormer) -> bool:
    return isinstance(network, CausalLM) and network.config.tie_word_embeddings


def _put(module: nn.Module, grid: Grid) -> None:
    # Not in place: a table and a head that were tied may part.
    module.register_parameter("weight", nn.Parameter(grid.dequantized(), requires_grad=False))


def _layers(module: nn.Module, how: Quantize) -> Iterator[tuple[str, nn.Linear]]:
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and how.linear_dtype(layer.in_features) == "int4":
            yield name, layer


def _blocks(
    network: NoiseFormer, rows: list[Tensor], how: Quantize, signed: bool, grids: dict[str, Grid]
) -> None:
    """Block by block, so that no layer is run for those after it."""
    # What each is called with: the hidden states, which will change, and the pass, which stays.
    blocks = list(network.transformer.blocks)
    calls: list[list[Any]] = [[] for _ in blocks]
    handles = [
        block.register_forward_pre_hook(lambda _, given, kept=kept: kept.append(given))
        for block, kept in zip(blocks, calls, strict=True)
    ]
    for ids in rows:
        network(ids)
    for handle in handles:
        handle.remove()
    states = [hidden for hidden, _ in calls[0]]
    for index, (block, kept) in enumerate(zip(blocks, calls, strict=True)):
        passes = [this for _, this in kept]
        kept.clear()
        run = partial(_outputs, block, states, passes)
        for name, layer in _layers(block, how):
            grids[f"transformer.h.{index}.{name}"] = _settle(layer, run, signed)
        states = run()


def _outputs(block: nn.Module, states: list[Tensor], passes: list[Any]) -> list[Tensor]:
    return [block(*call) for call in zip(states, passes, strict=True)]


def _settle(layer: nn.Linear, run: Callable[[], Any], signed: bool) -> Grid:
    """Quantize a layer for the inputs that it is given while `run` runs."""
    with _Moments(layer) as moments:
        run()
    grid = gptq(layer.weight, moments.total, signed)
    _put(layer, grid)
    return grid


class _Moments:
    """Σ x xᵀ [K, K] of what a layer is given."""

    def __init__(self, layer: nn.Linear) -> None:
        self.total = torch.zeros(layer.in_features, layer.in_features, dtype=torch.float64)
        self._handle = layer.register_forward_pre_hook(self._add)

    def _add(self, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.total += moment(given[0].detach())

    def __enter__(self) -> "_Moments":
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def moment(x: Tensor) -> Tensor:
    """[…, K] → Σ x xᵀ [K, K]."""
    flat = x.reshape(-1, x.shape[-1])
    return (flat.T @ flat).double()


def _table_hessian(network: NoiseFormer, rows: list[Tensor]) -> Tensor:
    """What an error e of a row costs, as eᵀ M e, where it is looked up, and where a tied head multiplies it.

    Of the lookup, M is the Fisher information: Σ g gᵀ of the gradients g of log-likelihoods that a looked-up
    row gets, the answers drawn from the model's own distribution.  It and the head's Σ x xᵀ are made equally
    large before they are added, for each is of the same table's errors.
    """
    generator = torch.Generator().manual_seed(0)
    width = network.transformer.wte.embedding_dim
    fisher = torch.zeros(width, width, dtype=torch.float64)
    looked_up: list[Tensor] = []

    def keep(_module: nn.Module, _ids: tuple[Tensor, ...], found: Tensor) -> Tensor:
        looked_up.append(found.detach().requires_grad_())
        return looked_up[-1]

    head = network.get_submodule(HEAD) if _tied(network) else nn.Linear(width, 1)
    assert isinstance(head, nn.Linear)
    handle = network.transformer.wte.register_forward_hook(keep)
    with _Moments(head) as moments, torch.enable_grad():
        for ids in rows:
            logits = network(ids).flatten(0, -2)
            _likelihood(logits, generator).backward()
            found = looked_up.pop().grad
            assert found is not None
            fisher += moment(found)
    handle.remove()
    network.zero_grad()
    fisher /= fisher.trace().clamp(min=torch.finfo(torch.float64).tiny)
    return fisher + moments.total / moments.total.trace() if _tied(network) else fisher


def _likelihood(logits: Tensor, generator: torch.Generator) -> Tensor:
    """The log-likelihood of answers that are drawn, of logits [Q, C]; of a regression, its sum."""
    if logits.shape[1] == 1:
        return logits.sum()
    logarithms = logits.log_softmax(dim=1)
    drawn = torch.multinomial(logarithms.detach().exp(), 1, generator=generator)
    return logarithms.gather(1, drawn).sum()
