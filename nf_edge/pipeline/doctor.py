"""Check which requirements are installed on this machine, and name the command that installs each missing
one.
"""

import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.backends import REGISTRY, installed_version
from nf_edge.core import native_build
from nf_edge.core.errors import MissingTool
from nf_edge.measure import emulation
from nf_edge.measure.runner import Runtime
from nf_edge.measure.runner.build import check_tools

INSTALL = "pip install nf-edge"


@dataclass(frozen=True)
class Finding:
    """The state of one requirement.

    Attributes:
        needed_for: the features that need it.
        state: its version or location, or the problem.
        fix: the command that installs it; "" if it is installed.
    """

    name: str
    needed_for: str
    ok: bool
    state: str
    fix: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def examine() -> list[Finding]:
    """Check Python, the packages of every backend, and the native parts, without building anything."""
    findings = [Finding("python", "everything", True, platform.python_version())]
    for package, needed_for in _packages().items():
        installed = installed_version(package)
        findings.append(
            Finding(
                package,
                needed_for,
                installed is not None,
                installed or "not installed",
                "" if installed else _fix(package),
            )
        )
    native = "measuring memory and time natively"
    return [
        *findings,
        _built("native runner, executorch", native, lambda: check_tools("executorch")),
        _built("native runner, onnxruntime", native, lambda: check_tools("onnxruntime")),
        _built("kernels of nf-edge", "the nf- recipes", lambda: native_build.check_tools("kernels")),
        *(_emulation(runtime) for runtime in emulation.RUNTIMES),
    ]


def _emulation(runtime: Runtime) -> Finding:
    """The finding whether this machine has all that a runtime needs to run on emulated cores."""
    name, needed_for = f"emulated cores, {runtime}", "--on DEVICE"
    try:
        qemu = emulation.emulator()
        emulation.kept(runtime)
    except MissingTool as error:
        return Finding(name, needed_for, False, error.what, error.fix or "")
    return Finding(name, needed_for, True, f"QEMU {qemu.version}: {', '.join(sorted(qemu.cpus))}")


def _packages() -> dict[str, str]:
    needed: dict[str, list[str]] = {}
    for name, entry in REGISTRY.items():
        for package in entry.packages:
            needed.setdefault(package, []).append(name)
    packages = {package: f"backends {', '.join(names)}" for package, names in needed.items()}
    return packages | {
        "tokenizers": "text models",
        "cmake": "measuring memory and time natively",
        "ninja": "measuring memory and time natively",
        "scikit-learn": "metrics of tasks, and the digits data",
    }


def _built(name: str, needed_for: str, tools: Callable[[], str]) -> Finding:
    """The finding whether this machine can build a native part of nf-edge.

    Args:
        name: the name of the part.
        needed_for: the features that need it.
        tools: function that returns the compiler to build the part with, or raises MissingTool.
    """
    try:
        compiler = tools()
    except MissingTool as error:
        return Finding(name, needed_for, False, error.what, error.fix or "")
    return Finding(name, needed_for, True, f"built at first use with {compiler}")


def _fix(package: str) -> str:
    # If a backend without an extra needs the package, recommend that one: it installs the least.
    users = [entry for entry in REGISTRY.values() if package in entry.packages]
    return min(users, key=lambda entry: bool(entry.extra)).install if users else INSTALL
