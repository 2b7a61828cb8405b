"""Builds the native parts of the package at first use, and keeps them in the user's cache folder."""

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
from dataclasses import dataclass
from pathlib import Path

from nf_edge.errors import MissingTool
from nf_edge.files import sha256
from nf_edge.targets import Target

GET_COMPILER = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
LOG_LINES = 20
# Beside a product: what it hashed to when it was built.
RECORD = "sha256"


@dataclass(frozen=True)
class Native:
    """Something built by CMake.

    Attributes:
        what: its name in messages, such as "runner"; also its folder in the cache.
        source: the folder of its CMakeLists.txt.
        target: the CMake target.
        product: the file that is built, relative to the build folder.
    """

    what: str
    source: Path
    target: str
    product: Path


def built(native: Native, settings: list[str], depends_on: list[str], target: Target | None = None) -> Path:
    """The product, built now if it is not there yet, or is not what was built.

    Args:
        settings: arguments of CMake's configuration.
        depends_on: what else a build differs by, such as the version of a library.
        target: the machine that it is for; None: this one.

    Raises:
        MissingTool: there is no compiler, CMake or Ninja to build it with, or it does not build.
    """
    command = target.command() if target else compiler(native.what)
    settings = [*settings, *(target.settings if target else ())]
    folder = cache_folder(native.what) / _key(native, [*depends_on, *settings], command)
    product = folder / native.product.name
    if not _intact(product):
        _build(native, folder, settings, command)
    return product


def executorch() -> tuple[str, list[str]]:
    """Version of the ExecuTorch that is installed, and the CMake settings that say where it is.

    Raises:
        MissingTool: there is none.
    """
    package = package_folder("executorch")
    return importlib.metadata.version("executorch"), [f"-DCMAKE_PREFIX_PATH={package}"]


def package_folder(package: str) -> Path:
    """Where a package is.  Importing a runtime to learn that would take seconds.

    Raises:
        MissingTool: it is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingTool(f"{package} is not installed", fix=f"pip install {package}")
    return Path(spec.submodule_search_locations[0])


def check_tools(what: str) -> str:
    """The compiler that `built` would use; builds nothing.

    Raises:
        MissingTool: there is no compiler, CMake or Ninja.
    """
    command = compiler(what)
    _packaged("cmake", "CMAKE_BIN_DIR", what)
    _packaged("ninja", "BIN_DIR", what)
    return shlex.join(command)


def compiler(what: str) -> list[str]:
    """The command that compiles C++: $CXX, which may have arguments, or the first one found."""
    chosen = os.environ.get("CXX")
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        command = shlex.split(candidate)
        if path := shutil.which(command[0]):
            return [path, *command[1:]]
    if chosen:
        raise MissingTool(f"CXX is {chosen!r}, which is no program", fix=f"unset CXX, or: {GET_COMPILER}")
    raise MissingTool(f"no C++ compiler to build the {what} with", fix=GET_COMPILER)


def cache_folder(what: str) -> Path:
    """The folder of all builds of a kind.  Code is run from it, so nobody else may write there.

    Raises:
        MissingTool: others may, or it cannot be made.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nf-edge" / what
    fix = "set XDG_CACHE_HOME to a folder that only you can write to"
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise MissingTool("others may write to this folder of programs", where=path, fix=fix)
    except OSError as error:
        raise MissingTool(f"cannot keep the {what} here: {error.strerror}", where=folder, fix=fix) from None
    return folder


def _key(native: Native, depends_on: list[str], command: list[str]) -> str:
    """Names a build after all that it depends on: also where a library is, since an rpath points there."""
    identity = subprocess.run([*command, "--version"], capture_output=True, text=True).stdout
    digest = hashlib.sha256()
    for text in (native.target, *depends_on, *command, identity, platform.machine()):
        digest.update(text.encode() + b"\0")
    for source in sorted(path for path in native.source.iterdir() if path.is_file()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(native: Native, folder: Path, settings: list[str], command: list[str]) -> None:
    """Builds beside the product's folder and moves the whole there: another process may do the same now."""
    cmake = _packaged("cmake", "CMAKE_BIN_DIR", native.what)
    ninja = _packaged("ninja", "BIN_DIR", native.what)
    environment = {**os.environ, "CXX": shlex.join(command)}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as scratch:
        configure = ["-S", str(native.source), "-B", scratch, "-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
        compile_and_link = ["--build", scratch, "--target", native.target]
        log = Path(scratch, "build.log")
        for arguments in (configure + settings, compile_and_link):
            with log.open("a") as output:
                done = subprocess.run([str(cmake), *arguments], stdout=output, stderr=output, env=environment)
            if done.returncode != 0:
                raise _failure(native.what, log.replace(folder.with_suffix(".log")))
        product = Path(scratch, native.product)
        product.with_name(RECORD).write_text(sha256(product))
        try:
            product.parent.replace(folder)
        except OSError:
            # Another process was faster, or what is there is not what was built.
            if not _intact(folder / product.name):
                shutil.rmtree(folder)
                product.parent.replace(folder)


def _intact(product: Path) -> bool:
    """Whether a product is there and is what was built: its code is about to be run."""
    record = product.with_name(RECORD)
    return product.is_file() and record.is_file() and record.read_text() == sha256(product)


def _packaged(package: str, folder: str, what: str) -> Path:
    """A program out of its PyPI package: the one on PATH may be too old."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        fix = "pip install 'cmake>=3.28' ninja"
        raise MissingTool(f"no {package} to build the {what} with", fix=fix) from None
    return Path(getattr(module, folder), package)


def _failure(what: str, log: Path) -> MissingTool:
    end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    fix = "it takes a C++17 compiler; the environment variable CXX chooses one"
    return MissingTool(f"the {what} does not build:\n{end}", where=log, fix=fix)
