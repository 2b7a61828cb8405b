"""What becomes of every module that has weights, and of the cache: one list for all runtimes, told in the
report."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from nf_edge.backends.base import HEADS, Backend, CacheDtype
from nf_edge.memory.accounts import KV_CACHE
from nf_edge.recipe import GROUP_SIZE, Quantize, Recipe
from nf_edge.report import Figure

WEIGHTS = {"int8": "int8, per channel", "int4": f"int4, groups of {GROUP_SIZE}"}
ACTIVATIONS = {
    "none": "float32 activations",
    "int8_dynamic": "int8 dynamic activations",
    "int8_static": "int8 static activations",
}
# What is no module: the products of two activations.
ATTENTION = "attention"
TABLES = {"float32": "float32", "int8": "int8, per row", "int4": f"int4, groups of {GROUP_SIZE}"}


@dataclass(frozen=True)
class Fate:
    """What became of one module's weights, of `ATTENTION` or of the cache (`KV_CACHE`).

    Attributes:
        reason: why the dtype is not what was asked for, where it is not.
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


def fates_of(
    program: nn.Module, backend: Backend, recipe: Recipe, cache: CacheDtype | None
) -> tuple[Fate, ...]:
    """The fate of every module with weights, of a network that is not quantized yet, and of its cache."""
    fates = []
    for name, module in _with_weights(program):
        own = backend.fate(name)
        fates.append(_fate(name, module, recipe) if own is None else Fate(name, *own))
    if recipe.quantize is not None and recipe.quantize.attention == "int8":
        fates.append(Fate(ATTENTION, "int8 products, a scale per token"))
    if cache is not None:
        scales = "" if cache.dtype == "float32" else ", per channel" if cache.static else ", per token"
        fates.append(Fate(KV_CACHE, cache.dtype + scales, cache.reason))
    return tuple(fates)


def _fate(name: str, module: nn.Module, recipe: Recipe) -> Fate:
    if recipe.quantize is None:
        return Fate(name, "float32")
    if isinstance(module, nn.Linear):
        return _linear(name, module, recipe, recipe.quantize)
    if name.endswith(".wpe"):
        positions = recipe.quantize.position_dtype()
        fell_back = positions != recipe.quantize.embeddings
        return Fate(name, TABLES[positions], "few rows, each added to every text" if fell_back else "")
    if isinstance(module, nn.Embedding):
        dtype = recipe.quantize.table_dtype(module.embedding_dim)
        fell_back = dtype != recipe.quantize.embeddings
        reason = f"{GROUP_SIZE} does not divide its {module.embedding_dim} columns" if fell_back else ""
        return Fate(name, _int4(TABLES[dtype], recipe.quantize), reason)
    if isinstance(module, nn.LayerNorm):
        return Fate(name, "float32", "a norm: a few values, which int8 would harm")
    return Fate(name, "float32", "noise on the scores: a sliver of the weights, kept exact")


def _int4(dtype: str, quantize: Quantize) -> str:
    """How it was rounded, added where that is not the usual."""
    return f"{dtype}, by GPTQ" if dtype.startswith("int4") and quantize.method == "gptq" else dtype


def _linear(name: str, module: nn.Linear, recipe: Recipe, quantize: Quantize) -> Fate:
    dtype = quantize.linear_dtype(module.in_features)
    if dtype != quantize.weights:
        reason = f"{GROUP_SIZE} does not divide its {module.in_features} inputs"
        return Fate(name, f"{WEIGHTS[dtype]}; {ACTIVATIONS['int8_dynamic']}", reason)
    static = quantize.activations == "int8_static"
    if recipe.runtime == "executorch" and static and name in HEADS:
        reason = "a static int8 layer has int8 outputs, and 256 levels of logits would make ties"
        return Fate(name, f"{WEIGHTS[dtype]}; {ACTIVATIONS['int8_dynamic']}", reason)
    return Fate(name, f"{_int4(WEIGHTS[dtype], quantize)}; {ACTIVATIONS[quantize.activations]}")


def _with_weights(program: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, module in program.named_modules():
        if any(True for _ in module.parameters(recurse=False)):
            yield name, module
