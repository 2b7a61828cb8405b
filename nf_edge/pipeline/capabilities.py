"""The capabilities of each backend, from its class, the bundled recipes and devices, and the installed
packages.
"""

from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.backends import REGISTRY, all_backends, missing_packages
from nf_edge.backends.precisions import precisions
from nf_edge.core.device import bundled_devices
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes
from nf_edge.model import ModelConfig
from nf_edge.model.network import build
from nf_edge.quantization.layer_report import layer_reports_of

# A layer of a small model.  All group sizes divide its inputs, so it gets exactly the recipe's precision.
LAYER = "transformer.h.0.mlp.c_fc"
SMALL = {"vocab_size": 8, "n_positions": 8, "n_embd": 128, "n_layer": 1, "n_head": 1}


@dataclass(frozen=True)
class Capability:
    """The capabilities of a backend.

    Attributes:
        missing: required packages that are not installed.
        install: the command that installs the missing packages; "" if none is missing.
        here: what this machine can do with the backend's files once all packages are installed, in words.
        answers_by: the runtime or simulator that runs the backend's files on this machine.
        attention: how attention is computed, in words.
        targets: accelerators that the backend compiles for; empty if files are not specific to one.
        precisions: the precision of linear layers, by the name of each bundled recipe.
        devices: bundled devices that the backend supports; devices that prefer it come first.
    """

    name: str
    title: str
    runtime: str
    missing: tuple[str, ...]
    install: str
    here: str
    answers_by: str
    own_kernels: bool
    attention: str
    targets: tuple[str, ...]
    precisions: dict[str, str]
    devices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"available": not self.missing, "recipes": list(self.precisions)}


def capabilities() -> list[Capability]:
    """The capabilities of all backends, whether or not their packages are installed."""
    recipes, devices = bundled_recipes(), bundled_devices()
    capabilities = []
    for name, backend in all_backends().items():
        entry = REGISTRY[name]
        missing = tuple(missing_packages(entry.packages))
        takers = [device for device in devices if name in device.backends]
        capabilities.append(
            Capability(
                name=name,
                title=entry.title,
                runtime=backend.runtime,
                missing=missing,
                install=entry.install if missing else "",
                here=entry.here,
                answers_by=backend.reference_executor or backend.runtime,
                own_kernels=backend.support.own_kernels,
                attention=backend.attention_form,
                targets=backend.support.targets,
                precisions={recipe.name: _precision(recipe) for recipe in recipes if recipe.backend == name},
                devices=tuple(
                    device.id for device in sorted(takers, key=lambda device: device.backends.index(name))
                ),
            )
        )
    return capabilities


def _precision(recipe: Recipe) -> str:
    """The precision that a recipe gives a linear layer, in words as in an export's report."""
    config = ModelConfig(architectures=("NoiseFormerForCausalLM",), **SMALL)
    backend = all_backends()[recipe.backend]
    layer_reports = layer_reports_of(build(config), backend, recipe, precisions(recipe, config), None)
    return next(layer_report.dtype for layer_report in layer_reports if layer_report.module == LAYER)
