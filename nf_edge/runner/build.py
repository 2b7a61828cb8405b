"""Builds the native runner at first use."""

import sys
from pathlib import Path
from typing import Literal

from nf_edge import native_build
from nf_edge.errors import MissingTool
from nf_edge.native_build import Native

Runtime = Literal["executorch", "onnxruntime"]

NATIVE = Path(__file__).parent / "native"


def executable(runtime: Runtime) -> Path:
    """The runner for a runtime, built now if it is not there yet.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with, or it does not build.
    """
    native_build.compiler("runner")
    version, settings = _installed(runtime)
    name = f"nf-run-{runtime}"
    return native_build.built(Native("runner", NATIVE, name, Path("bin", name)), settings, [runtime, version])


def check_tools(runtime: Runtime) -> str:
    """The compiler that `executable` would use; builds nothing.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with.
    """
    native_build.compiler("runner")
    _installed(runtime)
    return native_build.check_tools("runner")


def _installed(runtime: Runtime) -> tuple[str, list[str]]:
    """Version of a runtime, and the CMake settings that say where it is."""
    if runtime == "executorch":
        return native_build.executorch()
    package = native_build.package_folder(runtime)
    # Several distributions bring the module onnxruntime.  Its one library has the version in its name.
    pattern = "libonnxruntime.*.dylib" if sys.platform == "darwin" else "libonnxruntime.so.*"
    for library in (package / "capi").glob(pattern):
        return library.name, [f"-DONNXRUNTIME_LIBRARY={library}"]
    raise MissingTool("this onnxruntime has no shared library", where=package, fix="pip install onnxruntime")
