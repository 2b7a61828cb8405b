"""Build the native (C++) parts of the package at first use and keep them in the user's cache folder."""

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
from nf_edge.core.staging import is_utf8, move_new, stage
from nf_edge.core.system_errors import ADD_MEMORY
from nf_edge.core.targets import BuildTarget
from nf_edge.core.user_cache import SET_CACHE, user_cache

GET_COMPILER = "xcode-select --install" if sys.platform == "darwin" else "apt-get install g++"
LOG_LINES = 20
# Texts in the output of a build whose compiler was killed.
KILLED = re.compile(r"Killed|signal 9")
# The file next to a product that holds the product's hash at build time.
RECORD = "sha256"


@dataclass(frozen=True)
class NativePart:
    """A program or library that CMake builds.

    Attributes:
        what: its name in messages, such as "runner"; also the name of its cache folder.
        source: the folder with its CMakeLists.txt.
        target: the CMake target.
        product: the built file, relative to the build folder.
    """

    what: str
    source: Path
    target: str
    product: Path


def built(
    native: NativePart, settings: list[str], depends_on: list[str], target: BuildTarget | None = None
) -> Path:
    """The path of a built program or library.

    It is built first if it is missing, or if it changed since its build.

    Args:
        settings: arguments of CMake's configuration.
        depends_on: other inputs of the build, such as a library's version; each combination has a separate
            build in the cache.
        target: the machine to build for; None: this machine.

    Raises:
        MissingTool: there is no compiler, CMake or Ninja, or the build fails.
    """
    command = target.command() if target else compiler(native.what)
    settings = [*settings, *(target.settings if target else ())]
    folder = cache_folder(native.what) / _key(native, [*depends_on, *settings], command)
    product = folder / native.product.name
    if not _intact(product):
        with _cache_errors(folder), _build_lock(folder.parent):
            if not _intact(product):  # another process may have built it during the wait
                _build(native, folder, settings, command)
    return product


def executorch() -> tuple[str, list[str]]:
    """The version of the installed ExecuTorch, and the CMake settings that point to it.

    Raises:
        MissingTool: ExecuTorch is not installed.
    """
    package = package_folder("executorch")
    return importlib.metadata.version("executorch"), [f"-DCMAKE_PREFIX_PATH={package}"]


def package_folder(package: str) -> Path:
    """The folder of an installed package.  The package is not imported, because importing a runtime takes
    seconds.

    Raises:
        MissingTool: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingTool(f"{package} is not installed", fix=f"pip install {package}")
    return Path(spec.submodule_search_locations[0])


def check_tools(what: str) -> str:
    """Check that the tools for `built` are installed; returns the compiler command that `built` would use.

    Args:
        what: the name of the part to build, such as "runner", for messages.

    Raises:
        MissingTool: there is no compiler, CMake or Ninja, or the cache folder cannot be used.
    """
    cache_folder(what)
    command = compiler(what)
    _program_of("cmake", "CMAKE_BIN_DIR", what)
    _program_of("ninja", "BIN_DIR", what)
    return shlex.join(command)


def compiler(what: str) -> list[str]:
    """The command that compiles C++: $CXX, which may have arguments, or the first compiler on PATH.

    Args:
        what: the name of the part to build, such as "runner", for messages.

    Raises:
        MissingTool: there is no compiler, or CXX names no program.
    """
    chosen = os.environ.get("CXX")
    for candidate in [chosen] if chosen else ["c++", "g++", "clang++"]:
        try:
            command = shlex.split(candidate)
        except ValueError as error:
            problem = f"the environment variable CXX is {chosen!r}, which is not a valid command ({error})"
            raise MissingTool(problem, fix="unset CXX, or close its quotes") from None
        if command and (path := shutil.which(command[0])):
            return [path, *command[1:]]
    if chosen:
        raise MissingTool(
            f"the environment variable CXX is {chosen!r}, but there is no program of that name",
            fix=f"unset CXX, or install a compiler: {GET_COMPILER}",
        )
    raise MissingTool(f"no C++ compiler is installed to build the {what}", fix=GET_COMPILER)


def cache_folder(what: str) -> Path:
    """The cache folder for all builds of one part; it is created if it is missing.

    nf-edge runs code from this folder, so only the user may write there.

    Args:
        what: the name of the part, such as "runner"; also the name of its folder.

    Raises:
        MissingTool: other users can write there, programs cannot run there, or the folder cannot be created.
    """
    folder = user_cache() / what
    if not is_utf8(folder):
        problem = "this path is not valid UTF-8, so compilers cannot use the folder"
        raise MissingTool(problem, where=folder, fix=SET_CACHE)
    try:
        for path in (folder.parent, folder):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.stat()
            if status.st_uid != os.getuid() or status.st_mode & 0o022:
                problem = "other users can write to this folder, so nf-edge runs no programs from it"
                raise MissingTool(problem, where=path, fix=SET_CACHE)
        if hasattr(os, "ST_NOEXEC") and os.statvfs(folder).f_flag & os.ST_NOEXEC:
            problem = "programs cannot run from this folder: its file system is mounted noexec"
            raise MissingTool(problem, where=folder, fix=SET_CACHE)
    except OSError as error:
        raise _unusable(what, folder, error) from None
    return folder


@contextmanager
def new_cache_entry(folder: Path) -> Iterator[Path]:
    """A new folder, which becomes `folder` in the cache when the block succeeds; an existing `folder` stays.

    Raises:
        MissingTool: the cache cannot be written.
    """
    with _cache_errors(folder), stage(folder) as new:
        new.mkdir()
        yield new
        with suppress(FileExistsError):
            move_new(new, folder)


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Turn an OSError in the block into a MissingTool that says how to choose another cache folder."""
    try:
        yield
    except OSError as error:
        raise _unusable(folder.parent.name, folder.parent, error) from None


def _unusable(what: str, folder: Path, error: OSError) -> MissingTool:
    return MissingTool(
        f"cannot write the {what} to this folder ({error.strerror})", where=folder, fix=SET_CACHE
    )


@contextmanager
def _build_lock(folder: Path) -> Iterator[None]:
    """Hold the build lock of this folder; first wait until no other process holds it."""
    lock = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # without file locks both processes build, and the last result stays
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _key(native: NativePart, depends_on: list[str], command: list[str]) -> str:
    """A hash of everything that a build depends on: sources, compiler, processor, and `depends_on`.

    Args:
        depends_on: other inputs, such as library paths, which programs store as rpaths.
        command: the compiler, which may have arguments.
    """
    identity = processes.output_of([*command, "--version"])
    digest = hashlib.sha256()
    for text in (native.target, *depends_on, *command, identity, platform.machine()):
        digest.update(os.fsencode(text) + b"\0")
    for source in sorted(path for path in native.source.iterdir() if path.is_file()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _build(native: NativePart, folder: Path, settings: list[str], command: list[str]) -> None:
    """Build a part in a temporary folder next to `folder`, then move the result to `folder`.

    Args:
        settings: arguments of CMake's configuration.
        command: the compiler, which may have arguments.

    Raises:
        MissingTool: CMake or Ninja is not installed, or the build fails.
    """
    cmake = _program_of("cmake", "CMAKE_BIN_DIR", native.what)
    ninja = _program_of("ninja", "BIN_DIR", native.what)
    with stage(folder) as scratch:
        scratch.mkdir()
        # A killed compiler leaves its temporary files; this folder is deleted with them.
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
        shutil.rmtree(folder, ignore_errors=True)  # an earlier build that was changed or damaged
        product.parent.replace(folder)


def _intact(product: Path) -> bool:
    """Whether a product exists and still has its hash from the build; checked before its code runs."""
    record = product.with_name(RECORD)
    return product.is_file() and record.is_file() and record.read_text() == sha256(product)


def _program_of(package: str, folder: str, what: str) -> Path:
    """The path of a program, such as cmake, from the PyPI package of the same name.

    The program on PATH is not used, because it may be too old.

    Args:
        folder: the attribute of the package that has the path of the program's folder.
        what: the name of the part to build, such as "runner", for messages.

    Raises:
        MissingTool: the package is not installed.
    """
    try:
        module = importlib.import_module(package)
    except ImportError:
        fix = "pip install 'cmake>=3.28' ninja"
        raise MissingTool(f"{package} is not installed; it builds the {what}", fix=fix) from None
    return Path(getattr(module, folder), package)


def _failure(what: str, log: Path) -> MissingTool:
    end = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
    fix = "use a C++17 compiler; the environment variable CXX selects one"
    if KILLED.search(end):
        fix = f"memory may have run out: {ADD_MEMORY}"
    elif os.strerror(errno.ENOSPC) in end:
        fix = SET_CACHE
    return MissingTool(f"building the {what} failed:\n{end}", where=log, fix=fix)
