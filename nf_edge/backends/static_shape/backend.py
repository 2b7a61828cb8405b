"""What backends have in common that take the fixed form, all of it in integers of calibrated ranges."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from nf_edge.backends.base import INPUTS, Backend, CacheDtype, InputShape, no_cache
from nf_edge.backends.executorch.base import batch_problems
from nf_edge.backends.executorch.operator_libraries import require_operators
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.static_shape.form import network_weights
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Activations, Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig


class FixedBackend(Backend):
    runtime: ClassVar[Literal["executorch"]] = "executorch"
    model_file = "model.pte"
    process_bytes = None
    mixes = False
    takes: ClassVar[str]
    """What multiplies, with its article."""
    activations: ClassVar[tuple[Activations, ...]] = ("int8_static",)
    """What it multiplies with."""

    def problems(self, recipe: Recipe) -> list[str]:
        problems = batch_problems(recipe)
        if recipe.shapes.length == "dynamic":
            problems.append(
                f"shapes.length is dynamic, but {self.takes} takes one length; write full, or a number"
            )
        quantize = recipe.quantize
        if quantize is None or quantize.activations not in self.activations:
            problems.append(
                f"quantize.activations must be {' or '.join(self.activations)}: {self.takes} multiplies no "
                "others"
            )
        else:
            problems += [
                f"{where}: {self.takes} takes all linear layers in int8, per_channel, with "
                f"{quantize.activations}; leave the rule out, or name {TOKENS} or {POSITIONS}, which are "
                "looked up before them"
                for where, wanted in quantize.asked
                if replace(wanted, symmetric=True) != Precision(8, activations=quantize.activations)
            ]
        if quantize is not None and (quantize.attention, quantize.kv_cache) != ("float32", "float32"):
            problems.append(
                "quantize.attention and kv_cache are for the kernels and caches of other backends; leave "
                "them out: here all of attention is in integers"
            )
        return problems

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if input_shape.cached:
            raise no_cache(self, recipe)
        return None

    def inputs(self, config: ModelConfig, input_shape: InputShape) -> tuple[str, ...]:
        return INPUTS

    def network_weights(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        return network_weights(weights)

    def layer_report(self, module: str, wanted: Precisions) -> tuple[str, str] | None:
        if module == HEAD or module.endswith(".noise"):
            return f"int8, per channel; {activation_dtype(wanted)} static activations", ""
        if module == "score":
            return (
                "float32",
                "one row is scored in float32; integers would round logits, int8 into ties",
            )
        return None

    def attention_report(self, recipe: Recipe) -> tuple[str, str] | None:
        return f"{dtype_of(static_activations(recipe))} products of calibrated ranges", ""

    def require_operators(self, path: Path) -> None:
        require_operators(path, self.operator_libraries)

    def decoder(self, path: Path, capacity: int, threads: int | None = None) -> Decoder:
        raise TypeError("no file of this backend has a cache")


def static_activations(recipe: Recipe) -> Activations:
    """Those of all linear layers; a recipe without was refused before."""
    assert recipe.quantize is not None
    return recipe.quantize.activations


def dtype_of(activations: Activations) -> str:
    """`int8` of `int8_static`."""
    return activations.partition("_")[0]


def activation_dtype(wanted: Precisions) -> str:
    """That of all linear layers; of the head `precisions` thinks as for other runtimes."""
    first = next(name for name in wanted if name.startswith("transformer.h."))
    return dtype_of(wanted[first].activations)
