"""The weights of a network that are rounded before a runtime's tools see them: those that have fewer levels
than the runtime stores or zero points, and by GPTQ all below int8.

GPTQ goes over the token table first, then over each layer for the inputs that it then gets.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.precisions import HEAD, Precisions, shares_table
from nf_edge.backends.quantized_weights import QuantizedWeight, nearest
from nf_edge.core.recipe.precision import TOKENS, Precision
from nf_edge.model import NoiseFormer
from nf_edge.model.config import Task
from nf_edge.quantization.gptq import gptq, in_proportion
from nf_edge.quantization.hessian import Moments, moment


def nearest_weights(
    network: NoiseFormer, wanted: Precisions, signed: bool, stored: torch.dtype
) -> dict[str, QuantizedWeight]:
    """What becomes of the layers and tables that have fewer levels than they are stored with, or zero points,
    by name, each value rounded to the nearest.

    Args:
        signed: whether scales of layers may be negative.
        stored: the dtype of their scales in the file.
    """
    return {
        name: nearest(
            network.get_submodule(name).get_parameter("weight"),
            precision,
            signed or name == TOKENS,
            stored,
        )
        for name, precision in wanted.items()
        if precision.bits != precision.stored or not precision.symmetric
    }


def half_weights(
    network: NoiseFormer, wanted: Precisions, quantized_weights: dict[str, QuantizedWeight]
) -> dict[str, QuantizedWeight]:
    """What becomes of all layers and tables that are quantized, by name, with scales that float16 holds.

    Args:
        quantized_weights: of those that are rounded already.
    """
    found = {}
    for name, precision in wanted.items():
        if precision.stored is not None:
            weight = network.get_submodule(name).get_parameter("weight")
            found[name] = (
                quantized_weights[name].in_half(precision.stored)
                if name in quantized_weights
                else nearest(weight, precision, signed=True, stored=torch.float16)
            )
    return found


def gptq_weights(
    network: NoiseFormer, seen: Inputs, wanted: Precisions, signed: bool
) -> dict[str, QuantizedWeight]:
    """What becomes of the layers and of the table that get fewer bits than 8, by name, by GPTQ.

    Args:
        network: the plain form; changed in place, its weights becoming what their codes stand for.
        seen: rows to calibrate on.
        signed: whether scales may be negative.
    """
    rows = [torch.from_numpy(ids[:, : int(mask.sum())]) for ids, mask in seen]
    quantized_weights = {}
    table, shared = network.transformer.wte, shares_table(wanted, network.config)
    if _is_rounded(wanted[TOKENS]):
        hessian = _table_hessian(network, rows, shared)
        quantized_weights[TOKENS] = quantized_weight = gptq(table.weight, hessian, wanted[TOKENS], signed)
        if shared:
            quantized_weights[HEAD] = quantized_weight
            _put(network.get_submodule(HEAD), quantized_weight)
        _put(table, quantized_weight)
    settle = partial(_settle, wanted=wanted, signed=signed, quantized_weights=quantized_weights)
    with torch.no_grad():
        _blocks(network, rows, settle)
        for name, layer in network.named_children():
            if isinstance(layer, nn.Linear):
                settle(name, layer, lambda: [network(ids) for ids in rows])
    return quantized_weights


def _is_rounded(precision: Precision) -> bool:
    """Whether GPTQ rounds it; int8 loses next to nothing to rounding."""
    return (precision.bits or 8) < 8


def _put(module: nn.Module, quantized_weight: QuantizedWeight) -> None:
    # Not in place: a table and a head that were tied may part.
    module.register_parameter("weight", nn.Parameter(quantized_weight.dequantized(), requires_grad=False))


def _blocks(network: NoiseFormer, rows: list[Tensor], settle: Callable[..., None]) -> None:
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
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                settle(f"transformer.h.{index}.{name}", layer, run)
        states = run()


def _outputs(block: nn.Module, states: list[Tensor], passes: list[Any]) -> list[Tensor]:
    return [block(*call) for call in zip(states, passes, strict=True)]


def _settle(
    name: str,
    layer: nn.Linear,
    run: Callable[[], Any],
    wanted: Precisions,
    signed: bool,
    quantized_weights: dict[str, QuantizedWeight],
) -> None:
    """Round a layer, where it is to be and is not yet, for the inputs that it is given while `run` runs."""
    if not _is_rounded(wanted[name]) or name in quantized_weights:
        return
    with Moments(layer) as moments:
        run()
    quantized_weights[name] = gptq(layer.weight, moments.total, wanted[name], signed)
    _put(layer, quantized_weights[name])


def _table_hessian(network: NoiseFormer, rows: list[Tensor], shared: bool) -> Tensor:
    """What an error e of a row costs, as eᵀ M e, where it is looked up, and where a head multiplies it that
    shares the table.

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

    head = network.get_submodule(HEAD) if shared else nn.Linear(width, 1)
    assert isinstance(head, nn.Linear)
    handle = network.transformer.wte.register_forward_hook(keep)
    with Moments(head) as moments, torch.enable_grad():
        for ids in rows:
            logits = network(ids).flatten(0, -2)
            _likelihood(logits, network.config.task, generator).backward()
            found = looked_up.pop().grad
            assert found is not None
            fisher += moment(found)
    handle.remove()
    network.zero_grad()
    return in_proportion(fisher) + in_proportion(moments.total) if shared else fisher


def _likelihood(logits: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    """The log-likelihood of answers that are drawn, of logits [Q, C]; of a regression, the sum of its
    outputs, each with a sign that is drawn, so that they count one by one."""
    if task == "regression":
        signs = torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1
        return (logits * signs).sum()
    if task == "multi-label classification":
        holds = torch.bernoulli(logits.detach().sigmoid(), generator=generator)
        return -F.binary_cross_entropy_with_logits(logits, holds, reduction="sum")
    logarithms = logits.log_softmax(dim=1)
    drawn = torch.multinomial(logarithms.detach().exp(), 1, generator=generator)
    return logarithms.gather(1, drawn).sum()
