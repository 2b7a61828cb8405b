"""Builds the native runner at first use."""

import importlib.metadata
import sys
from pathlib import Path

from nf_edge.core import native_build
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import NativePart
from nf_edge.core.targets import BuildTarget

# The package that runs a model file.
Runtime = str
# Those that have a native runner.
RUNTIMES: tuple[Runtime, ...] = ("executorch", "onnxruntime")

NATIVE = Path(__file__).parent / "native"


def require_runner(runtime: Runtime) -> None:
    """Raises MissingTool where nf-edge has no native runner for a runtime."""
    if runtime not in RUNTIMES:
        raise MissingTool(
            f"nf-edge has no native runner for {runtime}", fix=f"it has one for {' and '.join(RUNTIMES)}"
        )


def executable(runtime: Runtime) -> Path:
    """The runner for a runtime, built now if it is not there yet.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with, or it does not build; or
            the runtime has no native runner.
    """
    require_runner(runtime)
    native_build.compiler("runner")
    return _built(runtime, native_build.package_folder(runtime), None)


def executable_for(target: BuildTarget, runtime: Runtime, package: Path) -> Path:
    """The runner for another machine, built now if it is not there yet.

    Args:
        package: the runtime's Python package for that machine, unpacked: its libraries are linked.

    Raises:
        MissingTool: as `executable` does, or there is no cross-compiler.
    """
    return _built(runtime, package, target)


def _built(runtime: Runtime, package: Path, target: BuildTarget | None) -> Path:
    version, settings = _settings(runtime, package)
    name = f"nf-run-{runtime}"
    native = NativePart("runner", NATIVE, name, Path("bin", name))
    return native_build.built(native, settings, [runtime, version], target)


def check_tools(runtime: Runtime) -> str:
    """The compiler that `executable` would use; builds nothing.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with.
    """
    native_build.compiler("runner")
    _settings(runtime, native_build.package_folder(runtime))
    return native_build.check_tools("runner")


def _settings(runtime: Runtime, package: Path) -> tuple[str, list[str]]:
    """Version of a runtime, and the CMake settings that say where it is."""
    if runtime == "executorch":
        return importlib.metadata.version("executorch"), [f"-DCMAKE_PREFIX_PATH={package}"]
    # Several distributions bring the module onnxruntime.  Its one library has the version in its name.
    pattern = "libonnxruntime.*.dylib" if sys.platform == "darwin" else "libonnxruntime.so.*"
    for library in (package / "capi").glob(pattern):
        return library.name, [f"-DONNXRUNTIME_LIBRARY={library}"]
    raise MissingTool("this onnxruntime has no shared library", where=package, fix="pip install onnxruntime")
