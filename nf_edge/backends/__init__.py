"""The backends: one module or package each, imported when needed.

A new backend is one module or package and one entry here.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.recipe import Recipe

if TYPE_CHECKING:
    from nf_edge.backends.base import Backend


@dataclass(frozen=True)
class Entry:
    """The facts about a backend that need no import of its module.

    Attributes:
        location: `module:class`.
        packages: the packages that it needs, by their names on PyPI.
        extra: the extra of nf-edge that installs them; "" where nf-edge itself does.
        here: what this machine does with its files.
    """

    title: str
    location: str
    packages: tuple[str, ...]
    extra: str = ""
    here: str = "lowers and runs here"

    @property
    def install(self) -> str:
        """The command that installs the packages."""
        return f"pip install 'nf-edge[{self.extra}]'" if self.extra else "pip install nf-edge"


REGISTRY = {
    "xnnpack": Entry(
        "ExecuTorch with XNNPACK, on the CPU",
        "nf_edge.backends.xnnpack:Xnnpack",
        ("torch", "torchao", "executorch"),
    ),
    "nf_cpu": Entry(
        "ExecuTorch with XNNPACK and the attention kernel of nf-edge, on the CPU",
        "nf_edge.backends.nf_cpu:NfCpu",
        ("torch", "torchao", "executorch"),
    ),
    "onnx_cpu": Entry(
        "ONNX Runtime, on the CPU",
        "nf_edge.backends.onnx.cpu:OnnxCpu",
        ("torch", "onnx", "onnxscript", "onnxruntime"),
    ),
    "openvino": Entry(
        "ExecuTorch with OpenVINO, on the CPU of PCs and servers",
        "nf_edge.backends.openvino:OpenVino",
        ("torch", "torchao", "executorch", "openvino"),
        extra="openvino",
    ),
    "coreml": Entry(
        "ExecuTorch with Core ML, on the Neural Engine, GPU and CPU of an iPhone",
        "nf_edge.backends.coreml:CoreMl",
        ("torch", "executorch", "coremltools"),
        here="compiles here, does not run here; a stand-in answers for it",
    ),
    "vulkan": Entry(
        "ExecuTorch with Vulkan, on the GPU of a phone",
        "nf_edge.backends.vulkan:Vulkan",
        ("torch", "executorch"),
        here="compiles here, does not run here; a stand-in answers for it",
    ),
    "ethos_u": Entry(
        "ExecuTorch with Vela, on an Arm Ethos-U NPU",
        "nf_edge.backends.ethos_u:EthosU",
        ("torch", "torchao", "executorch", "ethos-u-vela", "tosa-tools"),
        extra="ethos",
        here="lowers here, runs here simulated before Vela",
    ),
    "cortex_m": Entry(
        "ExecuTorch with CMSIS-NN, on an Arm Cortex-M",
        "nf_edge.backends.cortex_m:CortexM",
        ("torch", "torchao", "executorch", "tosa-tools"),
        extra="cortex-m",
        here="lowers here, runs here simulated",
    ),
    "qnn": Entry(
        "ONNX Runtime with QNN, on the HTP of a Snapdragon",
        "nf_edge.backends.qnn:Qnn",
        ("torch", "executorch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-qnn"),
        extra="qnn",
        here="lowers here, runs here in the HTP simulator",
    ),
}


def get_backend(name: str) -> "Backend":
    """The backend of a name.

    Raises:
        BadInput: no backend has that name.
        MissingTool: a package that it needs is not installed.
    """
    backend = registered_backend(name)
    _require_packages(name)
    return backend


def registered_backend(name: str) -> "Backend":
    """The backend of a name; packages that it needs may be missing.

    Raises:
        BadInput: no backend has that name.
    """
    if name not in REGISTRY:
        raise BadInput(f"unknown backend {name!r}", fix=f"backends: {', '.join(REGISTRY)}")
    return load_backend(REGISTRY[name].location)


def load_backend(location: str) -> "Backend":
    """An instance of the class at `module:class`."""
    module, class_name = location.split(":")
    backend: Backend = getattr(importlib.import_module(module), class_name)()
    return backend


def all_backends() -> "dict[str, Backend]":
    """All backends by name; packages that they need may be missing."""
    return {name: registered_backend(name) for name in REGISTRY}


def _require_packages(name: str) -> None:
    entry = REGISTRY[name]
    if missing := missing_packages(entry.packages):
        raise MissingTool(f"backend {name} needs {', '.join(missing)}, not installed here", fix=entry.install)


def missing_packages(packages: Sequence[str]) -> list[str]:
    """The packages that are not installed."""
    return [package for package in packages if installed_version(package) is None]


def installed_version(package: str) -> str | None:
    """The version of an installed package; None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def backend_for(recipe: Recipe) -> "Backend":
    """The backend of a recipe, once it is known to support all of the recipe.

    Raises:
        BadInput: the backend is unknown, or does not support something in the recipe; lists everything.
        MissingTool: a package that it needs is not installed.
    """
    backend = agreeing_backend(recipe)
    _require_packages(recipe.backend)
    return backend


def agreeing_backend(recipe: Recipe) -> "Backend":
    """As `backend_for`, but packages may be missing: enough to check a recipe.

    Raises:
        BadInput: as in `backend_for`.
    """
    from nf_edge.backends.incompatibilities import incompatibilities

    backend = registered_backend(recipe.backend)
    if problems := incompatibilities(recipe, backend.support):
        raise BadInput.listing(problems, where=f"recipe {recipe.name}")
    return backend
