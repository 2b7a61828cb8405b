"""The backends: one module or package for each, imported when a recipe needs it.

A new backend is one module or package and one entry in `REGISTRY`.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.recipe import Recipe

if TYPE_CHECKING:
    from nf_edge.backends.base import Backend
    from nf_edge.backends.spec import BackendSpec


@dataclass(frozen=True)
class Entry:
    """The facts about a backend that are known without importing its module.

    Attributes:
        title: the runtime, library and processor, for lists of backends.
        location: the backend's class, as `module:class`.
        packages: the required packages, by their names on PyPI.
        extra: the extra of nf-edge that installs the packages; "" if nf-edge itself requires them.
        here: what this machine can do for the backend, such as `lowers and runs here`.
        spec_location: the backend's `BackendSpec`, in a module that imports no PyTorch; "" if the backend's
            class is its only spec.
    """

    title: str
    location: str
    packages: tuple[str, ...]
    extra: str = ""
    here: str = "lowers and runs here"
    spec_location: str = ""

    @property
    def install(self) -> str:
        """The command that installs the packages."""
        return f"pip install 'nf-edge[{self.extra}]'" if self.extra else "pip install nf-edge"


REGISTRY = {
    "xnnpack": Entry(
        "ExecuTorch with XNNPACK, on the CPU",
        "nf_edge.backends.xnnpack.backend:Xnnpack",
        ("torch", "torchao", "executorch"),
        spec_location="nf_edge.backends.xnnpack.spec:XnnpackSpec",
    ),
    "nf_cpu": Entry(
        "ExecuTorch with XNNPACK and the attention kernel of nf-edge, on the CPU",
        "nf_edge.backends.nf_cpu.backend:NfCpu",
        ("torch", "torchao", "executorch"),
        spec_location="nf_edge.backends.nf_cpu.spec:NfCpuSpec",
    ),
    "onnx_cpu": Entry(
        "ONNX Runtime, on the CPU",
        "nf_edge.backends.onnx.cpu:OnnxCpu",
        ("torch", "onnx", "onnxscript", "onnxruntime"),
        spec_location="nf_edge.backends.onnx.spec:OnnxCpuSpec",
    ),
    "openvino": Entry(
        "ExecuTorch with OpenVINO, on the CPU of PCs and servers",
        "nf_edge.backends.openvino.backend:OpenVino",
        ("torch", "torchao", "executorch", "openvino"),
        extra="openvino",
        spec_location="nf_edge.backends.openvino.spec:OpenVinoSpec",
    ),
    "coreml": Entry(
        "ExecuTorch with Core ML, on the Neural Engine, GPU and CPU of an iPhone",
        "nf_edge.backends.coreml.backend:CoreMl",
        ("torch", "executorch", "coremltools"),
        here="compiles here, does not run here; a reference graph on this CPU computes the answers",
        spec_location="nf_edge.backends.coreml.spec:CoreMlSpec",
    ),
    "vulkan": Entry(
        "ExecuTorch with Vulkan, on the GPU of a phone",
        "nf_edge.backends.vulkan.backend:Vulkan",
        ("torch", "executorch"),
        here="compiles here, does not run here; a reference graph on this CPU computes the answers",
        spec_location="nf_edge.backends.vulkan.spec:VulkanSpec",
    ),
    "ethos_u": Entry(
        "ExecuTorch with Vela, on an Arm Ethos-U NPU",
        "nf_edge.backends.ethos_u.backend:EthosU",
        ("torch", "torchao", "executorch", "ethos-u-vela", "tosa-tools"),
        extra="ethos",
        here="lowers here, does not run here; a simulator runs the graph that Vela compiles",
        spec_location="nf_edge.backends.ethos_u.spec:EthosUSpec",
    ),
    "cortex_m": Entry(
        "ExecuTorch with CMSIS-NN, on an Arm Cortex-M",
        "nf_edge.backends.cortex_m.backend:CortexM",
        ("torch", "torchao", "executorch", "tosa-tools"),
        extra="cortex-m",
        here="lowers here, does not run here; a simulator computes the answers",
        spec_location="nf_edge.backends.cortex_m.spec:CortexMSpec",
    ),
    "qnn": Entry(
        "ONNX Runtime with QNN, on the HTP of a Snapdragon",
        "nf_edge.backends.qnn.backend:Qnn",
        ("torch", "executorch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-qnn"),
        extra="qnn",
        here="lowers here, does not run here; the HTP simulator computes the answers",
        spec_location="nf_edge.backends.qnn.spec:QnnSpec",
    ),
}


def get_backend(name: str) -> "Backend":
    """Return the backend with this name.

    Raises:
        BadInput: no backend has that name.
        MissingTool: a required package is not installed.
    """
    backend = registered_backend(name)
    _require_packages(name)
    return backend


def registered_backend(name: str) -> "Backend":
    """Return the backend with this name, even if a required package is not installed.

    Raises:
        BadInput: no backend has that name.
    """
    return load_backend(_entry(name).location)


def backend_spec(name: str) -> "BackendSpec":
    """Return the `BackendSpec` of the backend with this name, without importing PyTorch.

    Raises:
        BadInput: no backend has that name.
    """
    entry = _entry(name)
    spec: BackendSpec = _instance(entry.spec_location or entry.location)
    return spec


def _entry(name: str) -> Entry:
    if name not in REGISTRY:
        raise BadInput(f"unknown backend {name!r}", fix=f"use one of: {', '.join(REGISTRY)}")
    return REGISTRY[name]


def load_backend(location: str) -> "Backend":
    """Create an instance of the class at `module:class`."""
    backend: Backend = _instance(location)
    return backend


def _instance(location: str) -> Any:
    module, class_name = location.split(":")
    return getattr(importlib.import_module(module), class_name)()


def all_backends() -> "dict[str, Backend]":
    """Map each backend's name to the backend, even if its packages are not installed."""
    return {name: registered_backend(name) for name in REGISTRY}


def all_specs() -> "dict[str, BackendSpec]":
    """Map each backend's name to its spec."""
    return {name: backend_spec(name) for name in REGISTRY}


def _require_packages(name: str) -> None:
    entry = REGISTRY[name]
    if missing := missing_packages(entry.packages):
        what = f"backend {name} needs packages that are not installed: {', '.join(missing)}"
        raise MissingTool(what, fix=entry.install)


def missing_packages(packages: Sequence[str]) -> list[str]:
    """Those of the packages, by their names on PyPI, that are not installed."""
    return [package for package in packages if installed_version(package) is None]


def installed_version(package: str) -> str | None:
    """The version of a package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def backend_for(recipe: Recipe) -> "Backend":
    """Return a recipe's backend, after checking that the backend supports the recipe.

    Raises:
        BadInput: the backend is unknown, or does not support the recipe; the message lists every unsupported
            part.
        MissingTool: a required package is not installed.
    """
    backend = agreeing_backend(recipe)
    _require_packages(recipe.backend)
    return backend


def agreeing_backend(recipe: Recipe) -> "Backend":
    """Return a recipe's backend like `backend_for`, but do not require its packages.

    Raises:
        BadInput: the backend is unknown, or does not support the recipe; the message lists every unsupported
            part.
    """
    agreeing_spec(recipe)
    return registered_backend(recipe.backend)


def agreeing_spec(recipe: Recipe) -> "BackendSpec":
    """Return the spec of a recipe's backend, after checking that the backend supports the recipe.

    Raises:
        BadInput: the backend is unknown, or does not support the recipe; the message lists every unsupported
            part.
    """
    from nf_edge.backends.incompatibilities import incompatibilities

    spec = backend_spec(recipe.backend)
    if problems := incompatibilities(recipe, spec.support):
        raise BadInput.listing(problems, where=f"recipe {recipe.name}")
    return spec
