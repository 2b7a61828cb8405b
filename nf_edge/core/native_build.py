"""Builds the native parts of the package at first use, and keeps them in the user's cache folder."""

import errno
import fcntl
import hashlib
import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core import processes
from nf_edge.core.errors import MissingTool
from nf_edge.core.reading import sha256
from nf_edge.core.staging import is_text, move_new, stage
from nf_edge.core.system_errors import ADD_MEMORY
from nf_edge.core.targets import BuildTarget

GET_COMPILER = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
SET_CACHE = "set the environment variable XDG_CACHE_HOME to a folder that only you can write to"
LOG_LINES = 20
# What a build says of a compiler that was killed.
KILLED = re.compile(r"Killed|signal 9")
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


def built(
    native: Native, settings: list[str], depends_on: list[str], target: BuildTarget | None = None
) -> Path:
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
        with _explaining(folder), _alone(folder.parent):
            if not _intact(product):  # another process may have built it while this one waited
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
        MissingTool: there is no compiler, CMake or Ninja, or no folder to keep what they build.
    """
    cache_folder(what)
    command = compiler(what)
    _packaged("cmake", "CMAKE_BIN_DIR", what)
    _packaged("ninja", "BIN_DIR", what)
    return shlex.join(command)


def compiler(what: str) -> list[str]:
    """The command that compiles C++: $CXX, which may have arguments, or the first one found."""
    chosen = os.environ.get("CXX")
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        try:
            command = shlex.split(candidate)
        except ValueError as error:
            what_is_wrong = f"CXX is {chosen!r}, which is no command: {error}"
            raise MissingTool(what_is_wrong, fix="unset CXX, or close its quotes") from None
        if command and (path := shutil.which(command[0])):
            return [path, *command[1:]]
    if chosen:
        raise MissingTool(f"CXX is {chosen!r}, which is no program", fix=f"unset CXX, or: {GET_COMPILER}")
    raise MissingTool(f"no C++ compiler to build the {what} with", fix=GET_COMPILER)


def cache_folder(what: str) -> Path:
    """The folder of all builds of a kind.  Code is run from it, so nobody else may write there.

    Raises:
        MissingTool: others may, or it cannot be made.
    """
    folder = _caches() / "nf-edge" / what
    if not is_text(folder):
        raise MissingTool("its path is not UTF-8, which compilers do not take", where=folder, fix=SET_CACHE)
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                raise MissingTool("others may write to this folder of programs", where=path, fix=SET_CACHE)
        if hasattr(os, "ST_NOEXEC") and os.statvfs(folder).f_flag & os.ST_NOEXEC:
            problem = "programs may not run from here, as the file system is mounted noexec"
            raise MissingTool(problem, where=folder, fix=SET_CACHE)
    except OSError as error:
        raise _unusable(what, folder, error) from None
    return folder


@contextmanager
def kept_once(folder: Path) -> Iterator[Path]:
    """A new folder that becomes `folder`, in the cache, when the block ends well and none is there by then.

    Raises:
        MissingTool: it cannot be written.
    """
    with _explaining(folder), stage(folder) as new:
        new.mkdir()
        yield new
        with suppress(FileExistsError):
            move_new(new, folder)


def _caches() -> Path:
    """The user's folder for what can be made again."""
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen).absolute()
    try:
        return Path.home() / ".cache"
    except RuntimeError:
        raise MissingTool("your home folder cannot be determined", fix=SET_CACHE) from None


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    """What cannot be written to the cache is told with how to choose another."""
    try:
        yield
    except OSError as error:
        raise _unusable(folder.parent.name, folder.parent, error) from None


def _unusable(what: str, folder: Path, error: OSError) -> MissingTool:
    return MissingTool(f"cannot keep the {what} here: {error.strerror}", where=folder, fix=SET_CACHE)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process builds what is kept in this folder."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks: both build, and the last is kept
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _key(native: Native, depends_on: list[str], command: list[str]) -> str:
    """Names a build after all that it depends on: also where a library is, since an rpath points there."""
    identity = processes.ask([*command, "--version"])
    digest = hashlib.sha256()
    for text in (native.target, *depends_on, *command, identity, platform.machine()):
        digest.update(os.fsencode(text) + b"\0")
    for source in sorted(path for path in native.source.iterdir() if path.is_file()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(native: Native, folder: Path, settings: list[str], command: list[str]) -> None:
    """Builds beside the product's folder and moves the whole there."""
    cmake = _packaged("cmake", "CMAKE_BIN_DIR", native.what)
    ninja = _packaged("ninja", "BIN_DIR", native.what)
    with stage(folder) as scratch:
        scratch.mkdir()
        # A compiler that is ended leaves its temporary files.
        environment = {**os.environ, "CXX": shlex.join(command), "TMPDIR": str(scratch)}
        build = scratch / "build"
        configure = ["-S", str(native.source), "-B", str(build), "-G", "Ninja"]
        compile_and_link = ["--build", str(build), "--target", native.target]
        log = scratch / "build.log"
        for arguments in ([*configure, f"-DCMAKE_MAKE_PROGRAM={ninja}", *settings], compile_and_link):
            with log.open("a") as output:
                done = processes.run([str(cmake), *arguments], output=output, environment=environment)
            if done.returncode != 0:
                raise _failure(native.what, log.replace(folder.with_suffix(".log")))
        product = build / native.product
        product.with_name(RECORD).write_text(sha256(product))
        shutil.rmtree(folder, ignore_errors=True)  # what is there is not what was built
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
    if KILLED.search(end):
        fix = f"memory may have run out: {ADD_MEMORY}"
    elif os.strerror(errno.ENOSPC) in end:
        fix = SET_CACHE
    return MissingTool(f"the {what} does not build:\n{end}", where=log, fix=fix)
