"""The precision of every module with weights, of attention and of the cache: one list for all runtimes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import KV_CACHE, CacheDtype
from nf_edge.backends.precisions import Precisions
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
# Attention has its own report, although it has no weights: it multiplies two activations.
ATTENTION = "attention"


@dataclass(frozen=True)
class LayerReport:
    """The precision of one module's weights, of attention (`ATTENTION`) or of the cache (`KV_CACHE`).

    Attributes:
        reason: why the dtype differs from the recipe's, or why it saves nothing; "" if neither applies.
        weights_snr: signal-to-noise ratio of the lowered weights, in dB; None if nothing was quantized, or
            before the quantization.
        output_snr: signal-to-noise ratio of the layer's output on the calibration rows, in dB; None without
            calibration rows.
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
    network: NoiseFormer,
    backend: Backend,
    recipe: Recipe,
    by_module: Precisions,
    cache: CacheDtype | None,
) -> tuple[LayerReport, ...]:
    """One report for each module with weights, for attention and for the cache.

    The reports are made before quantization, so they have no signal-to-noise ratios.

    Args:
        by_module: the precision of each linear layer and table, by its name.
        cache: the dtype of the cache; None without a cache.
    """
    methods = _methods(by_module, recipe, network.config)
    layer_reports = []
    for name, module in _with_weights(network):
        backend_report = backend.layer_report(name, by_module)
        if backend_report is not None:
            layer_reports.append(LayerReport(name, *backend_report))
        elif name in by_module:
            layer_reports.append(
                _layer_report(name, module, by_module[name], methods.get(name, ""), backend.floats)
            )
        else:
            layer_reports.append(_unquantized_report(name, module, recipe, backend.floats))
    if (attention := backend.attention_report(recipe)) is not None:
        layer_reports.append(LayerReport(ATTENTION, *attention))
    if cache is not None:
        scales = "" if cache.dtype == "float32" else ", per channel" if cache.static else ", per token"
        layer_reports.append(LayerReport(KV_CACHE, cache.dtype + scales, cache.reason))
    return tuple(layer_reports)


def _methods(by_module: Precisions, recipe: Recipe, config: ModelConfig) -> dict[str, str]:
    """Map each module that GPTQ or AWQ rounds to the suffix `, by GPTQ` or `, by AWQ`."""
    if recipe.quantize is None or recipe.quantize.method == "nearest":
        return {}
    gptq = recipe.quantize.method == "gptq"
    names = by_module.keys() if gptq else scaled_layers(config)
    return {
        name: f", by {recipe.quantize.method.upper()}" for name in names if (by_module[name].bits or 8) < 8
    }


def _layer_report(
    name: str, module: nn.Module, precision: Precision, method: str, floats: str
) -> LayerReport:
    """The report of a linear layer or a table.

    Args:
        name: the module's name.
        method: `, by GPTQ`, `, by AWQ`, or "" for rounding to the nearest.
        floats: the dtype that the backend computes in without quantization.
    """
    if precision.bits is None:
        return LayerReport(name, floats, precision.reason)
    parts = [_weights_text(module, precision) + method]
    if isinstance(module, nn.Linear):
        parts.append(ACTIVATIONS.get(precision.activations, f"{floats} activations"))
    return LayerReport(name, "; ".join(parts), precision.reason)


def _weights_text(module: nn.Module, precision: Precision) -> str:
    """The precision of a module's weights in words, such as `int4, groups of 32, zero points`."""
    per = "channel" if isinstance(module, nn.Linear) else "row"
    scaling = f"groups of {precision.group}" if precision.group else f"per {per}"
    return f"int{precision.bits}, {scaling}" + ("" if precision.symmetric else ", zero points")


def _unquantized_report(name: str, module: nn.Module, recipe: Recipe, floats: str) -> LayerReport:
    """The report of a norm or of the noise, which are never quantized.

    Args:
        name: the module's name.
        floats: the dtype that the backend computes in without quantization.
    """
    if recipe.quantize is None:
        return LayerReport(name, floats)
    if isinstance(module, nn.LayerNorm):
        return LayerReport(name, floats, "a norm: a few values, which int8 would harm")
    return LayerReport(name, floats, "noise on the scores: a small part of the weights, which stays exact")


def _with_weights(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in network.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield name, module
