"""Build the kernels as a shared library, and copy it to a folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.core.files import created_folder, write_bytes
from nf_edge.core.output_checks import check_folder
from nf_edge.core.reading import sha256
from nf_edge.core.targets import TARGETS
from nf_edge.kernels import binding

HOST = "host"


@dataclass(frozen=True)
class KernelLibrary:
    """A shared library of the kernels.

    Attributes:
        target: `host`, or a name in `TARGETS`.
        path: the copy of the library; if there is no copy, the library in the cache.
        bytes: size of the library.
        sha256: hash of the library.
        instruction_sets: instruction sets that this CPU can run, the preferred one first; None for another
            machine.
        in_use: the instruction set that calls use; None for another machine.
    """

    target: str
    path: Path
    bytes: int
    sha256: str
    instruction_sets: tuple[str, ...] | None = None
    in_use: str | None = None

    def to_json(self) -> dict[str, Any]:
        facts = {
            "target": self.target,
            "library": str(self.path),
            "bytes": self.bytes,
            "sha256": self.sha256,
        }
        if self.instruction_sets is None:
            return facts
        return facts | {"instruction_sets": list(self.instruction_sets), "in_use": self.in_use}


def build_library(target: str, out: Path | None = None) -> KernelLibrary:
    """Build the kernels for `host` or for a machine in `TARGETS`, and copy the library to the folder `out`.

    If `out` is None, the library stays in the cache.

    Raises:
        BadInput: `out` cannot be written.
        MissingTool: the compiler or CMake is not installed.
    """
    if out is not None:
        check_folder(out)
    library = path = binding.executorch_library(TARGETS.get(target))
    if out is not None:
        path = out / library.name
        with created_folder(out):
            write_bytes(path, library.read_bytes())
    built = KernelLibrary(target, path, path.stat().st_size, sha256(path))
    if target != HOST:
        return built
    sets, in_use = tuple(binding.available(library)), binding.in_use(library)
    return KernelLibrary(target, built.path, built.bytes, built.sha256, sets, in_use)
