"""Check that ExecuTorch's operator libraries have all operators that a program calls.

An export runs most programs on this machine, which reveals a missing operator.  It cannot run programs for
microcontrollers or phone GPUs.  Their simulators have operators that the device's libraries lack.

ExecuTorch's wheel contains the operator list of each library.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import yaml

from nf_edge.backends.executorch.program_file import called_by, mapped, read_program
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.native_build import package_folder
from nf_edge.core.quiet import quiet_libraries, quiet_stderr
from nf_edge.kernels.binding import NATIVE

PORTABLE = "kernels/portable/functions.yaml"
# By CMake target: the path of its operator list in the package.
LISTS = {
    "portable_ops_lib": PORTABLE,
    "optimized_native_cpu_ops_lib": PORTABLE,
    "quantized_ops_lib": "kernels/quantized/quantized.yaml",
    "cortex_m_ops_lib": "backends/cortex_m/ops/operators.yaml",
}
# Optimized kernels without a portable version; the wheel has no list of them.
OPTIMIZED_ALONE = frozenset({"aten::_fft_c2r.out", "aten::_fft_r2c.out", "aten::linear.out"})
# By CMake target: the delegate that it registers.
DELEGATES = {
    "coremldelegate": "CoreMLBackend",
    "executorch_delegate_ethos_u": "EthosUBackend",
    "openvino_backend": "OpenvinoBackend",
    "vulkan_backend": "VulkanBackend",
    "xnnpack_backend": "XnnpackBackend",
}
# By CMake target: the archives of its kernels, which do not register operators.
ARCHIVES = {
    "portable_ops_lib": ("portable_kernels", "kernels_util_all_deps"),
    "quantized_ops_lib": ("quantized_kernels",),
    "cortex_m_ops_lib": ("cortex_m_kernels", "cmsis-nn"),
}
OWN, OWN_SOURCE = "nf_executorch", NATIVE / "executorch_op.cpp"
REGISTRATION = re.compile(r'^EXECUTORCH_LIBRARY\((\w+), "([^"]+)"', re.MULTILINE)
# The runtime's operators: all in this namespace, and those that read shapes and scalars.
PRIMITIVE = "executorch_prim::"
PRIMITIVE_ATEN = frozenset({"aten::_local_scalar_dense", "aten::sym_numel", "aten::sym_size.int"})


def require_operators(path: Path, libraries: Sequence[str]) -> None:
    """Check that the operator libraries have each operator and delegate that a program calls.

    Args:
        path: a `.pte`.
        libraries: CMake targets, as in `Backend.operator_libraries`.

    Raises:
        BadInput: the runtime and the libraries lack operators or delegates; the message names all of them.
        MissingTool: the installed ExecuTorch has no operator list for a library.
    """
    methods = read_program(path, mapped(path)).program.execution_plan
    called = {name for method in methods for names in called_by(method) for name in names}
    if missing := sorted(called - provided(libraries)):
        raise BadInput(
            f"the program calls {', '.join(missing)}, which neither ExecuTorch's runtime nor "
            f"{', '.join(libraries)} provides",
            where=path.name,
            fix="this is a fault of nf-edge; use a recipe of another backend",
        )


def provided(libraries: Iterable[str]) -> frozenset[str]:
    """Names of the operators and delegates that the runtime and these libraries have; a delegate's name is
    `delegate ID`.
    """
    return _primitives().union(*(_of_library(library) for library in libraries))


def registered(operators: Iterable[str]) -> list[str]:
    """The program's operators that a selective build of ExecuTorch must register."""
    return [name for name in operators if not name.startswith(("delegate ", PRIMITIVE, *PRIMITIVE_ATEN))]


@lru_cache
def _of_library(library: str) -> frozenset[str]:
    if library in DELEGATES:
        return frozenset({f"delegate {DELEGATES[library]}"})
    if library == OWN:
        registrations = REGISTRATION.findall(OWN_SOURCE.read_text(encoding="utf-8"))
        return frozenset(f"{namespace}::{name}" for namespace, name in registrations)
    names = _listed(package_folder("executorch") / LISTS[library])
    return names | OPTIMIZED_ALONE if library == "optimized_native_cpu_ops_lib" else names


def _listed(path: Path) -> frozenset[str]:
    """The names of the operators in one of ExecuTorch's operator lists.

    Raises:
        MissingTool: this ExecuTorch does not have the list.
    """
    if not path.is_file():
        fix = "install executorch from PyPI: pip install --force-reinstall executorch"
        what = "is missing; the installed executorch lacks this list of its operators"
        raise MissingTool(what, where=path, fix=fix)
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = (entry.get("op") or entry["func"].partition("(")[0] for entry in entries)
    return frozenset(name if "::" in name else f"aten::{name}" for name in names)


@lru_cache
def _primitives() -> frozenset[str]:
    with quiet_libraries(), quiet_stderr():
        from executorch.extension.pybindings.portable_lib import _get_operator_names

        names = _get_operator_names()
    return PRIMITIVE_ATEN.union(name for name in names if name.startswith(PRIMITIVE))
