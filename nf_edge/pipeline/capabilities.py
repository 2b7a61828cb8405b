"""What every backend can do, put together from what is known of it: its class, the recipes and the devices
that are bundled, and what is installed here."""

from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.backends import REGISTRY, all_backends, missing_packages
from nf_edge.core.device import bundled_devices
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes
from nf_edge.model import ModelConfig
from nf_edge.model.network import build
from nf_edge.quantization.layer_report import layer_reports_of

# A layer of a small model that all group sizes divide, by which a recipe's precision is told.
LAYER = "transformer.h.0.mlp.c_fc"
SMALL = {"vocab_size": 8, "n_positions": 8, "n_embd": 128, "n_layer": 1, "n_head": 1}


@dataclass(frozen=True)
class Capability:
    """A backend.

    Attributes:
        missing: packages that it needs and that are not installed.
        install: the command that gets them; "" where none is missing.
        here: what this machine does with its files, once they are.
        answers_by: what answers for its files here.
        attention: how attention is computed.
        targets: what it compiles for; none where its files run everywhere.
        precisions: what linear layers are, by the bundled recipes that use it.
        devices: bundled ones that it is for, first those that prefer it to others.
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
    """Those of all backends, whether or not what they need is installed."""
    recipes, devices = bundled_recipes(), bundled_devices()
    found = []
    for name, backend in all_backends().items():
        entry = REGISTRY[name]
        missing = tuple(missing_packages(entry.packages))
        takers = [device for device in devices if name in device.backends]
        found.append(
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
    return found


def _precision(recipe: Recipe) -> str:
    """What a recipe makes of a linear layer, in the words of the report of an export."""
    network = build(ModelConfig(architectures=("NoiseFormerForCausalLM",), **SMALL))
    layer_reports = layer_reports_of(network, all_backends()[recipe.backend], recipe, None)
    return next(layer_report.dtype for layer_report in layer_reports if layer_report.module == LAYER)
