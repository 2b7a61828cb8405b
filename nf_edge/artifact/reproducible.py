"""Everything that an artifact's bytes depend on, in addition to checkpoint, recipe and calibration."""

import platform

import torch

from nf_edge.artifact import Reproducible
from nf_edge.backends import REGISTRY, installed_version
from nf_edge.core.recipe.recipe import Recipe

# Map a backend's package to the packages that compute or write files for it.
UNDER = {"torch": ("numpy",), "onnxscript": ("onnx-ir", "protobuf"), "executorch": ("flatbuffers",)}


def reproducible(recipe: Recipe) -> Reproducible:
    """The versions, machine and CPU that must be equal so that two exports give equal bytes."""
    needed = REGISTRY[recipe.backend].packages
    names = {*needed, *(name for package in needed for name in UNDER.get(package, ()))}
    versions = {name: installed_version(name) for name in sorted(names)}
    return Reproducible(
        packages={name: version for name, version in versions.items() if version is not None},
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        cpu=torch.backends.cpu.get_cpu_capability(),
    )
