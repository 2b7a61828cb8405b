"""Builds the native runner at first use, and keeps it in the user's cache folder."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

from nf_edge.errors import MissingTool

Runtime = Literal["executorch", "onnxruntime"]

NATIVE = Path(__file__).parent / "native"
GET_COMPILER = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
LOG_LINES = 20


def executable(runtime: Runtime) -> Path:
    """The runner for a runtime, built now if it is not there yet.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with, or it does not build.
    """
    compiler = _compiler()
    version, settings = _installed(runtime)
    folder = _cache_folder() / _key(runtime, version, settings, compiler)
    program = folder / f"nf-run-{runtime}"
    if not program.exists():
        _build(program, settings, compiler)
    return program


def check_tools(runtime: Runtime) -> str:
    """The compiler that `executable` would use; builds nothing.

    Raises:
        MissingTool: there is no compiler, CMake, Ninja or runtime to build it with.
    """
    compiler = _compiler()
    _installed(runtime)
    _packaged("cmake", "CMAKE_BIN_DIR")
    _packaged("ninja", "BIN_DIR")
    return shlex.join(compiler)


def _compiler() -> list[str]:
    """The command that compiles C++: $CXX, which may have arguments, or the first one found."""
    chosen = os.environ.get("CXX")
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        command = shlex.split(candidate)
        if path := shutil.which(command[0]):
            return [path, *command[1:]]
    if chosen:
        raise MissingTool(f"CXX is {chosen!r}, which is no program", fix=f"unset CXX, or: {GET_COMPILER}")
    raise MissingTool("no C++ compiler to build the runner with", fix=GET_COMPILER)


def _installed(runtime: Runtime) -> tuple[str, list[str]]:
    """Version of a runtime, and the CMake settings that say where it is.  Importing it would take seconds."""
    spec = importlib.util.find_spec(runtime)
    if spec is None or not spec.submodule_search_locations:
        raise MissingTool(f"{runtime} is not installed", fix=f"pip install {runtime}")
    package = Path(spec.submodule_search_locations[0])
    if runtime == "executorch":
        return importlib.metadata.version(runtime), [f"-DCMAKE_PREFIX_PATH={package}"]
    # Several distributions bring the module onnxruntime.  Its one library has the version in its name.
    pattern = "libonnxruntime.*.dylib" if sys.platform == "darwin" else "libonnxruntime.so.*"
    for library in (package / "capi").glob(pattern):
        return library.name, [f"-DONNXRUNTIME_LIBRARY={library}"]
    raise MissingTool("this onnxruntime has no shared library", where=package, fix="pip install onnxruntime")


def _cache_folder() -> Path:
    """The folder of all builds.  Programs are started from it, so nobody else may write there."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nf-edge" / "runner"
    fix = "set XDG_CACHE_HOME to a folder that only you can write to"
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise MissingTool("others may write to this folder of programs", where=path, fix=fix)
    except OSError as error:
        raise MissingTool(f"cannot keep the runner here: {error.strerror}", where=folder, fix=fix) from None
    return folder


def _key(runtime: Runtime, version: str, settings: list[str], compiler: list[str]) -> str:
    """Names a build after all that it depends on: also where the runtime is, since an rpath points there."""
    identity = subprocess.run([*compiler, "--version"], capture_output=True, text=True).stdout
    digest = hashlib.sha256()
    for text in (runtime, version, *settings, *compiler, identity, platform.machine()):
        digest.update(text.encode() + b"\0")
    for source in sorted(path for path in NATIVE.iterdir() if path.is_file()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(program: Path, settings: list[str], compiler: list[str]) -> None:
    """Builds beside the program's folder and moves the whole there: another process may do the same now."""
    folder = program.parent
    cmake, ninja = _packaged("cmake", "CMAKE_BIN_DIR"), _packaged("ninja", "BIN_DIR")
    environment = {**os.environ, "CXX": shlex.join(compiler)}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        configure = ["-S", str(NATIVE), "-B", scratch, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        compile_and_link = ["--build", scratch, "--target", program.name]
        log = Path(scratch, "build.log")
        for arguments in (configure + settings, compile_and_link):
            with log.open("a") as output:
                command = [str(cmake), *arguments]
                done = subprocess.run(command, stdout=output, stderr=output, env=environment)
            if done.returncode != 0:
                raise _failure(log.replace(folder.with_suffix(".log")))
        try:
            Path(scratch, "bin").replace(folder)
        except OSError:
            if not program.exists():
                raise


def _packaged(package: str, folder: str) -> Path:
    """A program out of its PyPI package: the one on PATH may be too old."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        fix = "pip install 'cmake>=3.28' ninja"
        raise MissingTool(f"no {package} to build the runner with", fix=fix) from None
    return Path(getattr(module, folder), package)


def _failure(log: Path) -> MissingTool:
    end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    fix = "it takes a C++17 compiler; the environment variable CXX chooses one"
    return MissingTool(f"the runner does not build:\n{end}", where=log, fix=fix)
