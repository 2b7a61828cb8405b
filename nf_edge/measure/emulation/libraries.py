"""A runtime's libraries for Linux on Arm, in the installed version, stored in the cache.

They come from the runtime's Arm wheel.  `fetch` is the only function of nf-edge that uses the network: it
runs pip if a user requests it.
"""

import importlib.metadata
import sys
import zipfile
from pathlib import Path

from nf_edge.core import processes
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import cache_folder, new_cache_entry
from nf_edge.core.staging import scratch_folder
from nf_edge.measure.runner import Runtime, require_runner

PLATFORM = "manylinux_2_28_aarch64"
# The parts of a wheel that the runner needs.
PARTS: dict[Runtime, tuple[str, ...]] = {
    "executorch": ("executorch/lib/", "executorch/include/", "executorch/share/"),
    "onnxruntime": ("onnxruntime/capi/libonnxruntime.so",),
}
RUNTIMES: tuple[Runtime, ...] = tuple(PARTS)
SET_UP = "nf-edge doctor --fix emulation"


def kept(runtime: Runtime) -> Path:
    """The folder in the cache with the unpacked Arm package of the runtime.

    Raises:
        MissingTool: the package for the installed version was not downloaded, or the runtime has no native
            runner.
    """
    require_runner(runtime)
    folder = _folder(runtime)
    if not folder.is_dir():
        what = f"{runtime} {_version(runtime)} for Linux on Arm is not downloaded"
        raise MissingTool(what, fix=SET_UP)
    return folder / runtime


def fetch(runtime: Runtime) -> Path:
    """Download the runtime's Arm package into the cache, unless it is there; return its folder.

    Raises:
        MissingTool: pip cannot download the package.
    """
    folder = _folder(runtime)
    if folder.is_dir():
        return folder / runtime
    with new_cache_entry(folder) as parts, scratch_folder() as scratch:
        wheel = _download(runtime, scratch)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(
                parts, [name for name in archive.namelist() if name.startswith(PARTS[runtime])]
            )
    return folder / runtime


def _download(runtime: Runtime, folder: Path) -> Path:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    requirement = f"{runtime}=={_version(runtime)}"
    arguments = ["--no-deps", "--only-binary=:all:", "--platform", PLATFORM, "--python-version", version]
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        *arguments,
        "--dest",
        str(folder),
        requirement,
    ]
    done = processes.run(command)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        why = "\n".join(done.stderr.strip().splitlines()[-3:])
        raise MissingTool(
            f"pip cannot download {requirement} for {PLATFORM}:\n{why}",
            fix=f"check the network and pip's package index, then run: {SET_UP}",
        )
    return wheels[0]


def _folder(runtime: Runtime) -> Path:
    return cache_folder("emulation") / f"{runtime}-{_version(runtime)}-{PLATFORM}"


def _version(runtime: Runtime) -> str:
    """The installed version of a runtime, without a build name such as `+cpu`."""
    return importlib.metadata.version(runtime).partition("+")[0]
