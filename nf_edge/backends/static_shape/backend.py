"""What backends have in common that take the fixed form, all of it in integers of calibrated ranges."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from nf_edge.backends.base import INPUTS, Backend, InputShape
from nf_edge.backends.executorch.operator_libraries import require_operators
from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.static_shape.form import network_weights
from nf_edge.backends.static_shape.run_text import BARE_METAL, bare_metal_fields
from nf_edge.backends.support import PER_CHANNEL, Kernel, Support
from nf_edge.core.recipe.precision import Activations
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Decoder, ModelConfig


def static_support(
    backend: str, targets: tuple[str, ...], activations: tuple[Activations, ...] = ("int8_static",)
) -> Support:
    """What a backend supports that computes in integers: int8 weights per channel, and these activations."""
    return Support(
        backend=backend,
        runtime="executorch",
        layers=(Kernel(8, (8,), PER_CHANNEL, activations),),
        targets=targets,
        dynamic_length=False,
        float_layers=False,
        mixed_static="none",
    )


class FixedBackend(Backend):
    model_file = "model.pte"
    runtime_title = "ExecuTorch"
    process_bytes = None
    run_instructions: ClassVar[str]
    """Where its files run, and what they need there, for `RUN.md`; names in braces are filled in."""
    code_size: ClassVar[str] = ""
    """How large the code of an application was where it was measured, for `RUN.md`, in a sentence."""

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

    def run_text(self, cached: bool) -> str:
        return self.run_instructions + BARE_METAL

    def run_fields(self, operators: Sequence[str]) -> Mapping[str, str]:
        fields = bare_metal_fields(self.operator_libraries, operators)
        return fields | {"code_size": self.code_size}

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
