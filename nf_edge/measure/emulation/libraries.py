"""The libraries of a runtime for Linux on Arm, of the version that is installed here, kept in the cache.

They are in the runtime's own wheel for that machine.  `fetch` is the one thing of the package that goes to
the network, through pip, when a user asks for it.
"""

import importlib.metadata
import sys
import zipfile
from pathlib import Path

from nf_edge.core import processes
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import cache_folder, kept_once
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.runner import Runtime

PLATFORM = "manylinux_2_28_aarch64"
# What of a wheel a program is built with.
PARTS: dict[Runtime, tuple[str, ...]] = {
    "executorch": ("executorch/lib/", "executorch/include/", "executorch/share/"),
    "onnxruntime": ("onnxruntime/capi/libonnxruntime.so",),
}
RUNTIMES: tuple[Runtime, ...] = tuple(PARTS)
SET_UP = "nf-edge doctor --fix emulation"


def kept(runtime: Runtime) -> Path:
    """The runtime's package for that machine, unpacked.

    Raises:
        MissingTool: it was not fetched yet, or the runtime is another version now.
    """
    folder = _folder(runtime)
    if not folder.is_dir():
        raise MissingTool(f"no {runtime} {_version(runtime)} for Linux on Arm is kept here", fix=SET_UP)
    return folder / runtime


def fetch(runtime: Runtime) -> Path:
    """Download the wheel and keep what is needed of it, unless that is here already.

    Raises:
        MissingTool: pip cannot get it.
    """
    folder = _folder(runtime)
    if folder.is_dir():
        return folder / runtime
    with kept_once(folder) as parts, scratch_folder() as scratch:
        wheel = _download(runtime, scratch)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                parts, [name for name in archive.namelist() if name.startswith(PARTS[runtime])]
            )
    return folder / runtime


def _download(runtime: Runtime, folder: Path) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    wanted = f"{runtime}=={_version(runtime)}"
    arguments = ["--no-deps", "--only-binary=:all:", "--platform", PLATFORM, "--python-version", version]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *arguments, "--dest", str(folder), wanted]
    done = processes.run(command)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        why = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise MissingTool(f"pip cannot get {wanted} for {PLATFORM}:\n{why}", fix=" ".join(command[1:]))
    return wheels[0]


def _folder(runtime: Runtime) -> Path:
    return cache_folder("emulation") / f"{runtime}-{_version(runtime)}-{PLATFORM}"


def _version(runtime: Runtime) -> str:
    """Without what names the build, such as `+cpu`."""
    return importlib.metadata.version(runtime).partition("+")[0]
