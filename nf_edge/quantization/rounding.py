"""Weights that nf-edge rounds itself, instead of the runtime's quantizer.

nf-edge rounds weights of a width that no kernel supports (such as int3), and weights with zero points. For
delegates that compute in float16, it rounds all quantized weights. With GPTQ, it also rounds all weights
below int8. GPTQ rounds the token table first and then the layers in order. Each layer is rounded for the
inputs that it gets from the layers before it, which are already rounded.
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
from nf_edge.quantization.gptq import gptq, normalized
from nf_edge.quantization.hessian import InputMoments, second_moment


def nearest_weights(
    network: NoiseFormer, precisions: Precisions, signed: bool, stored: torch.dtype
) -> dict[str, QuantizedWeight]:
    """Map layers and tables to weights rounded to the nearest code.

    Only weights with zero points, and weights with a number of bits that no kernel supports, are included.

    Args:
        signed: whether scales of layers may be negative.
        stored: the dtype of the scales in the file.
    """
    return {
        name: nearest(
            network.get_submodule(name).get_parameter("weight"),
            precision,
            signed or name == TOKENS,
            stored,
        )
        for name, precision in precisions.items()
        if precision.bits != precision.stored or not precision.symmetric
    }


def half_weights(
    network: NoiseFormer, precisions: Precisions, quantized_weights: dict[str, QuantizedWeight]
) -> dict[str, QuantizedWeight]:
    """Map all quantized layers and tables to rounded weights whose scales are float16 values.

    Args:
        quantized_weights: weights that are already rounded; only their scales change.
    """
    in_half = {}
    for name, precision in precisions.items():
        if precision.stored is not None:
            weight = network.get_submodule(name).get_parameter("weight")
            in_half[name] = (
                quantized_weights[name].in_half(precision.stored)
                if name in quantized_weights
                else nearest(weight, precision, signed=True, stored=torch.float16)
            )
    return in_half


def gptq_weights(
    network: NoiseFormer, calibration_inputs: Inputs, precisions: Precisions, signed: bool
) -> dict[str, QuantizedWeight]:
    """Map the layers and the token table, if they have fewer than 8 bits, to weights rounded by GPTQ.

    Args:
        network: in plain PyTorch operators; its weights become the dequantized ones, in place.
        signed: whether scales may be negative.
    """
    rows = [torch.from_numpy(ids[:, : int(mask.sum())]) for ids, mask in calibration_inputs]
    quantized_weights = {}
    table, shared = network.transformer.wte, shares_table(precisions, network.config)
    if _below_int8(precisions[TOKENS]):
        hessian = _table_hessian(network, rows, shared)
        quantized_weights[TOKENS] = quantized_weight = gptq(table.weight, hessian, precisions[TOKENS], signed)
        if shared:
            quantized_weights[HEAD] = quantized_weight
            _replace_weight(network.get_submodule(HEAD), quantized_weight)
        _replace_weight(table, quantized_weight)
    round_layer = partial(
        _round_layer, precisions=precisions, signed=signed, quantized_weights=quantized_weights
    )
    with torch.no_grad():
        _round_blocks(network, rows, round_layer)
        for name, layer in network.named_children():
            if isinstance(layer, nn.Linear):
                round_layer(name, layer, lambda: [network(ids) for ids in rows])
    return quantized_weights


def _below_int8(precision: Precision) -> bool:
    """Whether the weights have fewer than 8 bits; GPTQ rounds only those, because int8's error is small."""
    return (precision.bits or 8) < 8


def _replace_weight(module: nn.Module, quantized_weight: QuantizedWeight) -> None:
    # A new parameter, not a change in place: a table and a tied head may get different weights.
    module.register_parameter("weight", nn.Parameter(quantized_weight.dequantized(), requires_grad=False))


def _round_blocks(network: NoiseFormer, rows: list[Tensor], round_layer: Callable[..., None]) -> None:
    """Call `round_layer` for the linear layers of each block, with a function that runs this block.

    A block runs on the outputs of the rounded blocks before it.

    Args:
        rows: token ids of the calibration rows, one tensor per row.
        round_layer: takes the layer's name, the layer, and the function that runs its block on all rows.
    """
    blocks = list(network.transformer.blocks)
    # For each row, the arguments of the current block: hidden states, which depend on the rounding of the
    # blocks before it, and the `Pass`.
    calls: list[list[Any]] = [[] for _ in blocks]
    handles = [
        block.register_forward_pre_hook(lambda _, inputs, block_calls=block_calls: block_calls.append(inputs))
        for block, block_calls in zip(blocks, calls, strict=True)
    ]
    for ids in rows:
        network(ids)
    for handle in handles:
        handle.remove()
    states = [hidden for hidden, _ in calls[0]]
    for index, (block, block_calls) in enumerate(zip(blocks, calls, strict=True)):
        passes = [each_pass for _, each_pass in block_calls]
        block_calls.clear()
        run = partial(_run_block, block, states, passes)
        for name, layer in block.named_modules():
            if isinstance(layer, nn.Linear):
                round_layer(f"transformer.h.{index}.{name}", layer, run)
        states = run()


def _run_block(block: nn.Module, states: list[Tensor], passes: list[Any]) -> list[Tensor]:
    return [block(*call) for call in zip(states, passes, strict=True)]


def _round_layer(
    name: str,
    layer: nn.Linear,
    run: Callable[[], Any],
    precisions: Precisions,
    signed: bool,
    quantized_weights: dict[str, QuantizedWeight],
) -> None:
    """Round a layer with GPTQ for the inputs that it gets while `run` runs.

    Layers of int8 or float32 and layers that are already rounded are skipped.

    Args:
        run: function that runs the layer on all calibration rows.
        signed: whether scales may be negative.
        quantized_weights: receives the result under `name`.
    """
    if not _below_int8(precisions[name]) or name in quantized_weights:
        return
    with InputMoments(layer) as moments:
        run()
    quantized_weights[name] = gptq(layer.weight, moments.hessian, precisions[name], signed)
    _replace_weight(layer, quantized_weights[name])


def _table_hessian(network: NoiseFormer, rows: list[Tensor], shared: bool) -> Tensor:
    """The matrix M, float64 [D, D]: an error e in a row of the token table costs eᵀ M e.

    For the lookup, M is the Fisher information: Σ g gᵀ over gradients g of the log-likelihood. The gradients
    are with respect to the embeddings, for answers drawn from the model's distribution. For a head that
    shares the table, M is Σ x xᵀ over the head's inputs. If both apply, M is the sum of the two matrices,
    each normalized.

    Args:
        rows: token ids of the calibration rows, one tensor per row.
        shared: whether the head shares the table.
    """
    generator = torch.Generator().manual_seed(0)
    width = network.transformer.wte.embedding_dim
    fisher = torch.zeros(width, width, dtype=torch.float64)
    looked_up: list[Tensor] = []

    def keep(_module: nn.Module, _ids: tuple[Tensor, ...], embeddings: Tensor) -> Tensor:
        looked_up.append(embeddings.detach().requires_grad_())
        return looked_up[-1]

    head = network.get_submodule(HEAD) if shared else nn.Linear(width, 1)
    assert isinstance(head, nn.Linear)
    handle = network.transformer.wte.register_forward_hook(keep)
    with InputMoments(head) as moments, torch.enable_grad():
        for ids in rows:
            logits = network(ids).flatten(0, -2)
            _log_likelihood(logits, network.config.task, generator).backward()
            gradient = looked_up.pop().grad
            assert gradient is not None
            fisher += second_moment(gradient)
    handle.remove()
    network.zero_grad()
    return normalized(fisher) + normalized(moments.hessian) if shared else fisher


def _log_likelihood(logits: Tensor, task: Task, generator: torch.Generator) -> Tensor:
    """The log-likelihood of random answers, drawn from the distribution of logits [Q, C]; a scalar.

    For a regression, the result is the sum of the outputs with random signs. The signs keep outputs from
    cancelling each other.
    """
    if task == "regression":
        signs = torch.randint(0, 2, logits.shape, generator=generator) * 2 - 1
        return (logits * signs).sum()
    if task == "multi-label classification":
        labels = torch.bernoulli(logits.detach().sigmoid(), generator=generator)
        return -F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    log_probabilities = logits.log_softmax(dim=1)
    answers = torch.multinomial(log_probabilities.detach().exp(), 1, generator=generator)
    return log_probabilities.gather(1, answers).sum()
