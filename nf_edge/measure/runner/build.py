"""Build the native runner at its first use."""

import importlib.metadata
import sys
from pathlib import Path

from nf_edge.core import native_build
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import NativePart
from nf_edge.core.targets import BuildTarget

# The name of the package that runs a model file.
Runtime = str
# Runtimes with a native runner.
RUNTIMES: tuple[Runtime, ...] = ("executorch", "onnxruntime")

NATIVE = Path(__file__).parent / "native"


def require_runner(runtime: Runtime) -> None:
    """Check that nf-edge has a native runner for a runtime; raise MissingTool if not."""
    if runtime not in RUNTIMES:
        raise MissingTool(
            f"nf-edge has no native runner for {runtime}",
            fix=f"use a recipe whose runtime is {' or '.join(RUNTIMES)}",
        )


def executable(runtime: Runtime) -> Path:
    """Build the runner for a runtime if it does not exist; return its path.

    Raises:
        MissingTool: a compiler, CMake, Ninja or the runtime is missing, or the build fails; or the runtime
            has no native runner.
    """
    require_runner(runtime)
    native_build.compiler("runner")
    return _built(runtime, native_build.package_folder(runtime), None)


def executable_for(target: BuildTarget, runtime: Runtime, package: Path) -> Path:
    """Build the runner for another machine if it does not exist; return its path.

    Args:
        package: the runtime's unpacked Python package for that machine; the runner links its libraries.

    Raises:
        MissingTool: CMake, Ninja or the cross-compiler is missing, the build fails, or the runtime has no
            native runner.
    """
    return _built(runtime, package, target)


def _built(runtime: Runtime, package: Path, target: BuildTarget | None) -> Path:
    version, settings = _settings(runtime, package)
    name = f"nf-run-{runtime}"
    native = NativePart("runner", NATIVE, name, Path("bin", name))
    return native_build.built(native, settings, [runtime, version], target)


def check_tools(runtime: Runtime) -> str:
    """Check the tools for `executable` without a build; return the name of the compiler.

    Raises:
        MissingTool: a compiler, CMake, Ninja or the runtime is missing.
    """
    native_build.compiler("runner")
    _settings(runtime, native_build.package_folder(runtime))
    return native_build.check_tools("runner")


def _settings(runtime: Runtime, package: Path) -> tuple[str, list[str]]:
    """A text that identifies a runtime's version, and the CMake settings with its location.

    Args:
        package: the folder of the runtime's Python package.
    """
    if runtime == "executorch":
        return importlib.metadata.version("executorch"), [f"-DCMAKE_PREFIX_PATH={package}"]
    # Several packages contain the module onnxruntime, but the name of its only library includes the version.
    pattern = "libonnxruntime.*.dylib" if sys.platform == "darwin" else "libonnxruntime.so.*"
    for library in (package / "capi").glob(pattern):
        return library.name, [f"-DONNXRUNTIME_LIBRARY={library}"]
    raise MissingTool(
        "the installed onnxruntime has no shared library",
        where=package,
        fix="pip install --force-reinstall onnxruntime",
    )
