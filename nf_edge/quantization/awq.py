"""AWQ: scale weights before rounding, to reduce the rounding error of the most important inputs.

Lin et al., "AWQ: Activation-aware Weight Quantization for On-Device LLM Compression and Acceleration", arXiv
2306.00978. One factor per input channel multiplies the weights and divides the inputs. The float32 network's
outputs stay the same. The rounding errors of channels with large inputs become smaller.

torchao 0.18's prototype is not used for two reasons. It multiplies by the factors at run time, and the
runtimes have no kernel for that. Its search supports only torchao's rounding. Here the inverse factors are
folded into the parameters that produce the layer's inputs: those of the norm before it, or of the value
projection for attention's output layer. The second layer of the MLP gets no factors, because factors cannot
be moved through GELU.
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
from nf_edge.quantization.equalize import MAX_FACTOR
from nf_edge.quantization.hessian import InputMoments

# A channel's factor is the mean magnitude of its inputs to the power of one of these; 0 means no scaling.
ALPHAS = [step / 20 for step in range(21)]


@dataclass(frozen=True)
class _Scaling:
    """A layer, and the parameters before it that are divided by its factors.

    The first dimension of each of these parameters is the layer's input channels.
    """

    layer: nn.Linear
    before: tuple[Tensor, ...]


def scaled_layers(config: ModelConfig) -> set[str]:
    """The names of the linear layers that AWQ can scale: parameters before them take the inverse factors."""
    attention = "attn.c_kv" if config.attention == "symmetric" else "attn.c_attn"
    names = {
        f"transformer.h.{index}.{name}"
        for index in range(config.n_layer)
        for name in (attention, "attn.c_proj", "mlp.c_fc")
    }
    if not config.is_language_model:
        names.add("score")
    # A tied head is also the token table.  Scaling its columns would change the embeddings.
    elif not config.tie_word_embeddings:
        names.add(HEAD)
    return names


@torch.no_grad()
def awq(network: NoiseFormer, precisions: Precisions, calibration_inputs: Inputs, signed: bool) -> None:
    """Scale the layers whose weights have fewer than 8 bits, in place, to reduce their rounding errors.

    Args:
        network: in plain PyTorch operators; its outputs stay the same up to float32 rounding.
        precisions: the precision of every layer in `scaled_layers`.
        calibration_inputs: the rows that the rounding errors are measured on.
        signed: whether scales of the rounded weights may be negative.
    """
    scalings = {
        name: scaling for name, scaling in _scalings(network).items() if (precisions[name].bits or 8) < 8
    }
    with ExitStack() as stack:
        moments = {
            name: stack.enter_context(InputMoments(scaling.layer)) for name, scaling in scalings.items()
        }
        run_rows(network, calibration_inputs)
    for name, scaling in scalings.items():
        factors = _best_factors(scaling.layer.weight, moments[name], precisions[name], signed)
        scaling.layer.weight.mul_(factors)
        for parameter in scaling.before:
            parameter.div_(factors if parameter.dim() == 1 else factors[:, None])


def _scalings(network: NoiseFormer) -> Mapping[str, _Scaling]:
    """Map each layer that AWQ can scale, by its name, to the parameters that its factors divide."""
    scalings = {}
    for index, block in enumerate(network.transformer.blocks):
        attention, name = block.attn, f"transformer.h.{index}"
        projection = attention.projection
        # The last outputs of the projection are the values; each is one input of the output projection.
        values = tuple(part[-attention.c_proj.in_features :] for part in (projection.weight, projection.bias))
        projection_name = f"{name}.attn.{'c_kv' if attention.symmetric else 'c_attn'}"
        scalings[projection_name] = _Scaling(projection, (block.ln_1.weight, block.ln_1.bias))
        scalings[f"{name}.attn.c_proj"] = _Scaling(attention.c_proj, values)
        scalings[f"{name}.mlp.c_fc"] = _Scaling(block.mlp.c_fc, (block.ln_2.weight, block.ln_2.bias))
    last_norm = network.transformer.ln_f
    for name in scaled_layers(network.config) - scalings.keys():
        head = network.get_submodule(name)
        assert isinstance(head, nn.Linear)
        scalings[name] = _Scaling(head, (last_norm.weight, last_norm.bias))
    return scalings


def _best_factors(weight: Tensor, moments: InputMoments, precision: Precision, signed: bool) -> Tensor:
    """The factors, float32 [K], that minimize the output error of the rounded weights [N, K].

    Args:
        moments: statistics of the inputs of the layer.
        signed: whether scales of the rounded weights may be negative.
    """
    best, least_error = torch.ones(weight.shape[1]), torch.inf
    # A channel whose inputs are always 0 gets the mean magnitude.
    magnitude = torch.where(moments.magnitude > 0, moments.magnitude, moments.magnitude.mean())
    for alpha in ALPHAS if float(magnitude.min()) > 0 else ():
        factors = magnitude**alpha
        middle = factors.max().sqrt() * factors.min().sqrt()
        factors = (factors / middle).clamp(1 / MAX_FACTOR, MAX_FACTOR).float()
        rounded = nearest(weight * factors, precision, signed).dequantized() / factors
        difference = (weight - rounded).double()
        error = float(((difference @ moments.hessian) * difference).sum())
        if error < least_error:
            best, least_error = factors, error
    return best
