"""The signal-to-noise ratio of each quantized layer and table, in decibels.

The ratio of the weights is 10·log10(Σ W² / Σ (W − Ŵ)²), where Ŵ is the lowered weight. The ratio of the
output on the calibration rows compares x Wᵀ with x (W − Ŵ)ᵀ, where x is the layer's float32 input. Biases and
rounded activations are left out, so the ratios describe the weights alone.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.backends.input_shape import Inputs
from nf_edge.backends.precisions import HEAD
from nf_edge.backends.quantized_weights import Weights
from nf_edge.core.figures import Figure, How
from nf_edge.model import CausalLM, NoiseFormer
from nf_edge.model.attention import Attention
from nf_edge.model.checkpoint import PAGES, MappedPages, release_weights
from nf_edge.quantization.layer_report import LayerReport
from nf_edge.quantization.threads import one_thread

# Values of a matrix whose squares are summed at once, and tokens of an output.
BLOCK, TOKENS_AT_ONCE = 1 << 20, 64
# Bytes of a module's inputs that are kept before its lowered weights are read.
KEPT = 1 << 20
# Tokens that a network runs over before the pages of its weights are released.  Reading the pages again takes
# as long as a few tokens.
TOKENS_BEFORE_RELEASE = 64


def plain_form(network: NoiseFormer, specialised: NoiseFormer) -> NoiseFormer:
    """Give a network of plain PyTorch operators the weights of a specialised network, and return it.

    Args:
        network: the network of plain operators, changed in place.
        specialised: the network after the backend changed it, with the same config.
    """
    # The networks share these weights; quantization replaces tensors and changes none.
    network.load_state_dict(specialised.state_dict(), assign=True)
    if isinstance(network, CausalLM) and isinstance(specialised, CausalLM):
        tied = specialised.lm_head.weight is specialised.transformer.wte.weight
        network.lm_head.weight = network.transformer.wte.weight if tied else network.lm_head.weight
    for block, other in zip(network.transformer.blocks, specialised.transformer.blocks, strict=True):
        if isinstance(other.attn, Attention):
            block.attn.scale = other.attn.scale
    return network.eval()


@dataclass
class _Energy:
    """Sums of squares of a signal and of its error, from which `figure` computes their ratio in dB."""

    signal: float = 0.0
    noise: float = 0.0

    @torch.no_grad()
    def add(self, signal: Tensor, noise: Tensor) -> None:
        self.signal += float(signal.double().square().sum())
        self.noise += float(noise.double().square().sum())

    def add_weights(self, weight: Tensor, lowered: Tensor) -> None:
        """Add the energies of a weight matrix and of its error, `weight` − `lowered`.

        They are summed in blocks, because float64 copies of a table would be large.
        """
        rows = max(BLOCK // weight[0].numel(), 1)
        for original, rounded in zip(weight.split(rows), lowered.split(rows), strict=True):
            self.add(original, original - rounded)

    def figure(self, how: How) -> Figure:
        """The signal-to-noise ratio in dB; unavailable if the signal or the error is zero or not finite."""
        if self.noise == 0:
            return Figure.unavailable("dB", "rounding changed no value, so there is no noise")
        if self.signal == 0:
            return Figure.unavailable("dB", "there is no signal")
        ratio = self.signal / self.noise
        decibels = 10 * math.log10(ratio) if ratio > 0 else math.nan  # the error overflowed, or was NaN
        return Figure.of(decibels, "dB", how)


@one_thread()
def with_errors(
    layer_reports: Iterable[LayerReport], network: NoiseFormer, lowered: Weights, calibration_inputs: Inputs
) -> tuple[LayerReport, ...]:
    """The layer reports, with signal-to-noise ratios for every module in `lowered`.

    Args:
        network: in plain PyTorch operators, in float32.
        lowered: the dequantized weights; a table may lack rows that no calibration input uses.
        calibration_inputs: the rows for the ratios of outputs; without rows, `output_snr` stays None.
    """
    modules = dict(network.named_modules())
    weights: dict[str, _Energy] = {}
    pages = MappedPages(network)
    for name, weight in lowered.items():
        weights[name] = _Energy()
        weights[name].add_weights(modules[name].get_parameter("weight")[: len(weight)], weight)
        pages.read(weight)
    outputs = _output_energies(network, lowered, calibration_inputs)
    return tuple(
        replace(
            layer_report,
            weights_snr=weights[layer_report.module].figure("planned"),
            output_snr=outputs[layer_report.module].figure("predicted") if calibration_inputs else None,
        )
        if layer_report.module in lowered
        else layer_report
        for layer_report in layer_reports
    )


@torch.no_grad()
def _output_energies(
    network: NoiseFormer, lowered: Weights, calibration_inputs: Inputs
) -> dict[str, _Energy]:
    modules = {name: module for name, module in network.named_modules() if name in lowered}
    release = partial(release_weights, network)
    outputs = {
        name: _Outputs(module, partial(lowered.__getitem__, name), release)
        for name, module in modules.items()
    }
    handles = [modules[name].register_forward_hook(outputs[name].keep) for name in modules]
    try:
        tokens = 0
        for input_ids, attention_mask in calibration_inputs:
            ids = torch.from_numpy(input_ids[:, : int(attention_mask.sum())])
            # The logits of a long text, which nothing here needs, would take hundreds of MB.
            result = network.transformer(ids) if isinstance(network, CausalLM) else network(ids)
            tokens += ids.numel()
            if tokens >= TOKENS_BEFORE_RELEASE:
                release_weights(network)
                tokens = 0
            if isinstance(network, CausalLM) and HEAD in outputs:
                outputs[HEAD].keep(network.lm_head, (result,), result)
    finally:
        for handle in handles:
            handle.remove()
    release_weights(network)
    pages, energies = MappedPages(network), {}
    for name, each in outputs.items():
        energies[name] = each.energy()
        pages.read(modules[name].get_parameter("weight"))
    return energies


class _Outputs:
    """Sums the energies of one module's outputs and of their errors, for several rows at once.

    Inputs are kept until they fill `KEPT` bytes, because the lowered weights are computed at each read.

    Args:
        lowered: computes the module's lowered weights.
        release: releases the pages of the weights, before and after a large matrix is in memory twice.
    """

    def __init__(self, module: nn.Module, lowered: Callable[[], Tensor], release: Callable[[], None]) -> None:
        self._module, self._lowered = module, lowered
        self._release = release if module.get_parameter("weight").nbytes >= PAGES else lambda: None
        self._energy, self._inputs, self._bytes = _Energy(), list[Tensor](), 0

    def keep(self, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep the input of a call; a forward hook."""
        self._inputs.append(inputs[0])
        self._bytes += inputs[0].nbytes
        if self._bytes >= KEPT:
            self._add_kept()

    def energy(self) -> _Energy:
        """The energies of all calls so far."""
        if self._inputs:
            self._add_kept()
        return self._energy

    def _add_kept(self) -> None:
        self._release()
        weight, lowered = self._module.get_parameter("weight"), self._lowered()
        if isinstance(self._module, nn.Linear):
            parts = [part for x in self._inputs for part in x.flatten(0, -2).split(TOKENS_AT_ONCE)]
            rows = max(BLOCK // weight.shape[1], 1)
            for original, rounded in zip(weight.split(rows), lowered.split(rows), strict=True):
                error = original - rounded
                for tokens in parts:
                    self._energy.add(F.linear(tokens, original), F.linear(tokens, error))
        else:
            for ids in self._inputs:
                signal = F.embedding(ids, weight)
                self._energy.add(signal, signal - F.embedding(ids, lowered))
        self._inputs, self._bytes = [], 0
        self._release()
