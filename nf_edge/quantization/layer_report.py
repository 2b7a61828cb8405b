"""What becomes of every module that has weights, and of the cache: one list for all runtimes, told in the
report."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import KV_CACHE, CacheDtype
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.core.figures import Figure
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.quantization.awq import scaled_layers

ACTIVATIONS = {
    "int8_dynamic": "int8 dynamic activations",
    "int8_static": "int8 static activations",
    "int16_static": "int16 static activations",
}
# What is no module: the products of two activations.
ATTENTION = "attention"


@dataclass(frozen=True)
class LayerReport:
    """What became of one module's weights, of `ATTENTION` or of the cache (`KV_CACHE`).

    Attributes:
        reason: why the dtype is not what was asked for, or what it does not bring.
        weights_snr: signal against quantization noise of the weights that are lowered, in dB; None where
            nothing was quantized, or not yet.
        output_snr: that of the layer's output, on the rows calibrated on; None where there are none.
    """

    module: str
    dtype: str
    reason: str = ""
    weights_snr: Figure | None = None
    output_snr: Figure | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "dtype": self.dtype,
            "reason": self.reason,
            "weights_snr": self.weights_snr.to_json() if self.weights_snr else None,
            "output_snr": self.output_snr.to_json() if self.output_snr else None,
        }


def layer_reports_of(
    network: NoiseFormer, backend: Backend, recipe: Recipe, cache: CacheDtype | None
) -> tuple[LayerReport, ...]:
    """A report for every module with weights of a network that is not quantized yet, and for its cache.

    Raises:
        BadInput: a rule of the recipe is for none of them.
    """
    wanted = precisions(recipe, network.config)
    methods = _methods(wanted, recipe, network.config)
    layer_reports = []
    for name, module in _with_weights(network):
        own = backend.layer_report(name, wanted)
        if own is not None:
            layer_reports.append(LayerReport(name, *own))
        elif name in wanted:
            layer_reports.append(
                _layer_report(name, module, wanted[name], methods.get(name, ""), backend.floats)
            )
        else:
            layer_reports.append(_exact(name, module, recipe, backend.floats))
    if (products := backend.attention_report(recipe)) is not None:
        layer_reports.append(LayerReport(ATTENTION, *products))
    if cache is not None:
        scales = "" if cache.dtype == "float32" else ", per channel" if cache.static else ", per token"
        layer_reports.append(LayerReport(KV_CACHE, cache.dtype + scales, cache.reason))
    return tuple(layer_reports)


def _methods(wanted: Precisions, recipe: Recipe, config: ModelConfig) -> dict[str, str]:
    """How weights are rounded where not simply to the nearest, by module."""
    if recipe.quantize is None or recipe.quantize.method == "nearest":
        return {}
    gptq = recipe.quantize.method == "gptq"
    names = wanted.keys() if gptq else scaled_layers(config)
    return {name: f", by {recipe.quantize.method.upper()}" for name in names if (wanted[name].bits or 8) < 8}


def _layer_report(
    name: str, module: nn.Module, precision: Precision, method: str, floats: str
) -> LayerReport:
    """Of a linear layer or a table."""
    if precision.bits is None:
        return LayerReport(name, floats, precision.reason)
    parts = [_scaling(module, precision) + method]
    if isinstance(module, nn.Linear):
        parts.append(ACTIVATIONS.get(precision.activations, f"{floats} activations"))
    return LayerReport(name, "; ".join(parts), precision.reason)


def _scaling(module: nn.Module, precision: Precision) -> str:
    """`int4, groups of 32, zero points`."""
    per = "channel" if isinstance(module, nn.Linear) else "row"
    scaling = f"groups of {precision.group}" if precision.group else f"per {per}"
    return f"int{precision.bits}, {scaling}" + ("" if precision.symmetric else ", zero points")


def _exact(name: str, module: nn.Module, recipe: Recipe, floats: str) -> LayerReport:
    """Of what is never quantized."""
    if recipe.quantize is None:
        return LayerReport(name, floats)
    if isinstance(module, nn.LayerNorm):
        return LayerReport(name, floats, "a norm: a few values, which int8 would harm")
    return LayerReport(name, floats, "noise on the scores: a sliver of the weights, kept exact")


def _with_weights(program: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in program.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield name, module
