"""What quantizing costs each layer and each table: signal against noise, in decibels.

Of the weights: 10·log10(Σ W² / Σ (W − Ŵ)²), Ŵ being what is lowered.  Of the output, on rows that were
calibrated on: the same of x Wᵀ and x (W − Ŵ)ᵀ, x being what the layer is given in float32; the bias and the
rounding of activations are left out, so that the figure is about the weights.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.quantized_weights import Weights
from nf_edge.core.figures import Figure
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.network import Attention
from nf_edge.quantization.calibration import run_rows
from nf_edge.quantization.layer_report import LayerReport
from nf_edge.quantization.threads import one_thread


def plain_form(network: NoiseFormer, specialised: NoiseFormer) -> NoiseFormer:
    """`network` with the weights of the form that a backend made of it: in PyTorch's own operators.

    Args:
        network: of the same config; changed in place.
    """
    if (
        isinstance(network, CausalLM)
        and isinstance(specialised, CausalLM)
        and specialised.lm_head.weight is not specialised.transformer.wte.weight
    ):
        # A tied head that the form parts from its table would be loaded into it.
        network.lm_head.weight = nn.Parameter(network.lm_head.weight.detach().clone())
    network.load_state_dict(specialised.state_dict())
    for block, other in zip(network.transformer.blocks, specialised.transformer.blocks, strict=True):
        if isinstance(other.attn, Attention):
            block.attn.scale = other.attn.scale
    return network.eval()


@dataclass
class _Energy:
    signal: float = 0.0
    noise: float = 0.0

    @torch.no_grad()
    def add(self, signal: Tensor, noise: Tensor) -> None:
        self.signal += float(signal.double().square().sum())
        self.noise += float(noise.double().square().sum())

    def figure(self, how: str) -> Figure:
        if self.noise == 0:
            return Figure.unavailable("dB", "nothing was lost: there is no noise to compare with")
        if self.signal == 0:
            return Figure.unavailable("dB", "there is no signal")
        ratio = self.signal / self.noise
        decibels = 10 * math.log10(ratio) if ratio > 0 else math.nan  # overflowed, or was NaN
        return Figure.of(decibels, "dB", "planned" if how == "weights" else "predicted")


@one_thread()
def with_errors(
    layer_reports: Iterable[LayerReport], network: NoiseFormer, lowered: Weights, seen: Inputs
) -> tuple[LayerReport, ...]:
    """The layer reports, each with its figures where its weights were quantized.

    Args:
        network: the plain form, in float32.
        lowered: weights as they are in what is lowered; a table may have fewer rows than the network's.
        seen: rows that were calibrated on; none, and there are no figures of outputs.
    """
    modules = dict(network.named_modules())
    lost = {name: _lost(modules[name], weight) for name, weight in lowered.items()}
    weights: dict[str, _Energy] = {}
    for name, noise in lost.items():
        weights[name] = _Energy()
        weights[name].add(modules[name].get_parameter("weight")[: len(lowered[name])], noise)
    outputs = _of_outputs(network, lost, seen)
    return tuple(
        replace(
            layer_report,
            weights_snr=weights[layer_report.module].figure("weights"),
            output_snr=outputs[layer_report.module].figure("output") if seen else None,
        )
        if layer_report.module in lost
        else layer_report
        for layer_report in layer_reports
    )


def _lost(module: nn.Module, lowered: Tensor) -> Tensor:
    weight = module.get_parameter("weight").detach()
    lost = torch.zeros_like(weight)
    lost[: len(lowered)] = weight[: len(lowered)] - lowered
    return lost


@torch.no_grad()
def _of_outputs(network: NoiseFormer, lost: Weights, seen: Inputs) -> dict[str, _Energy]:
    energies = {name: _Energy() for name in lost}

    def listen(name: str, module: nn.Module) -> torch.utils.hooks.RemovableHandle:
        apply = F.linear if isinstance(module, nn.Linear) else _look_up

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            energies[name].add(apply(inputs[0], module.get_parameter("weight")), apply(inputs[0], lost[name]))

        return module.register_forward_hook(hook)

    handles = [listen(name, module) for name, module in network.named_modules() if name in lost]
    try:
        run_rows(network, seen)
    finally:
        for handle in handles:
            handle.remove()
    return energies


def _look_up(ids: Tensor, table: Tensor) -> Tensor:
    return F.embedding(ids, table)
