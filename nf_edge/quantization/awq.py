"""AWQ: inputs that matter most are made smaller, and the weights that meet them larger, so that those are
rounded more finely than the rest; all of it exactly, before anything is rounded.

Lin et al., "AWQ: Activation-aware Weight Quantization for On-Device LLM Compression and Acceleration", arXiv
2306.00978.  It is written here because torchao 0.18's prototype keeps the factors as a multiplication at run
time, for which no kernel of the runtimes has a place, and searches them for torchao's rounding alone.  Here
they are folded into what stands before a layer: a norm, or the values that attention sums.  Before the second
layer of the MLP stands a GELU, which no factor passes through, so that layer has none.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.quantized_weights import nearest
from nf_edge.core.recipe.precision import Precision
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.quantization.calibration import run_rows
from nf_edge.quantization.equalize import MOST
from nf_edge.quantization.hessian import Moments

# Exponents of the magnitudes of inputs that are tried; with the first nothing changes.
ALPHAS = [step / 20 for step in range(21)]


@dataclass(frozen=True)
class _Pair:
    """A layer, and the parameters of what gives it its inputs: a channel each, in their first dimension."""

    layer: nn.Linear
    before: tuple[Tensor, ...]


def scaled_layers(config: ModelConfig) -> set[str]:
    """Names of the layers whose inputs can have factors."""
    attention = "attn.c_kv" if config.attention == "symmetric" else "attn.c_attn"
    names = {
        f"transformer.h.{index}.{name}"
        for index in range(config.n_layer)
        for name in (attention, "attn.c_proj", "mlp.c_fc")
    }
    if not config.is_language_model:
        names.add("score")
    # A tied head is the table too, whose columns are not to change.
    elif not config.tie_word_embeddings:
        names.add(HEAD)
    return names


@torch.no_grad()
def awq(network: NoiseFormer, wanted: Precisions, seen: Inputs, signed: bool) -> None:
    """Fold factors into a network, in place, that lessen what its layers of less than int8 lose.

    Args:
        network: in PyTorch's own operators; but for rounding it answers as before.
        seen: rows to calibrate on.
        signed: as of `nearest`.
    """
    pairs = {name: pair for name, pair in _pairs(network).items() if (wanted[name].bits or 8) < 8}
    with ExitStack() as stack:
        moments = {name: stack.enter_context(Moments(pair.layer)) for name, pair in pairs.items()}
        run_rows(network, seen)
    for name, pair in pairs.items():
        factors = _factors(pair.layer.weight, moments[name], wanted[name], signed)
        pair.layer.weight.mul_(factors)
        for parameter in pair.before:
            parameter.div_(factors if parameter.dim() == 1 else factors[:, None])


def _pairs(network: NoiseFormer) -> Mapping[str, _Pair]:
    pairs = {}
    for index, block in enumerate(network.transformer.blocks):
        attention, name = block.attn, f"transformer.h.{index}"
        projection = attention.c_kv if attention.symmetric else attention.c_attn
        # The values are the last of what it gives, a channel for each input of the layer after attention.
        values = tuple(part[-attention.c_proj.in_features :] for part in (projection.weight, projection.bias))
        projected = f"{name}.attn.{'c_kv' if attention.symmetric else 'c_attn'}"
        pairs[projected] = _Pair(projection, (block.ln_1.weight, block.ln_1.bias))
        pairs[f"{name}.attn.c_proj"] = _Pair(attention.c_proj, values)
        pairs[f"{name}.mlp.c_fc"] = _Pair(block.mlp.c_fc, (block.ln_2.weight, block.ln_2.bias))
    last = network.transformer.ln_f
    for name in scaled_layers(network.config) - pairs.keys():
        head = network.get_submodule(name)
        assert isinstance(head, nn.Linear)
        pairs[name] = _Pair(head, (last.weight, last.bias))
    return pairs


def _factors(weight: Tensor, moments: Moments, precision: Precision, signed: bool) -> Tensor:
    """The factors [K] with which the product of a layer's inputs and rounded weights [N, K] loses least."""
    best, least = torch.ones(weight.shape[1]), torch.inf
    # An input that is always 0 has nothing to be made like.
    magnitude = torch.where(moments.magnitude > 0, moments.magnitude, moments.magnitude.mean())
    for alpha in ALPHAS if float(magnitude.min()) > 0 else ():
        factors = magnitude**alpha
        middle = factors.max().sqrt() * factors.min().sqrt()
        factors = (factors / middle).clamp(1 / MOST, MOST).float()
        rounded = nearest(weight * factors, precision, signed).dequantized() / factors
        lost = (weight - rounded).double()
        error = float(((lost @ moments.total) * lost).sum())
        if error < least:
            best, least = factors, error
    return best
