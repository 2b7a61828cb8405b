"""QEMU's user mode, and the runner under it."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nf_edge.core import processes
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import cache_folder, kept_once
from nf_edge.core.targets import TARGETS, BuildTarget
from nf_edge.measure.emulation.libraries import kept
from nf_edge.measure.runner import Runtime, executable_for, runner_options

# Debian's builds; the first needs nothing else of the machine.
PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
GET_QEMU = "apt-get install qemu-user-static"


@dataclass(frozen=True)
class Emulator:
    """QEMU's user mode for Linux programs on Arm.

    Attributes:
        program: its path.
        version: such as `7.2.22`.
        cpus: the cores that it has.
        libc: the folder of the C library for that machine.
    """

    program: Path
    version: str
    cpus: frozenset[str]
    libc: Path
    target: ClassVar[BuildTarget] = TARGETS["aarch64-linux"]

    def command(
        self, cpu: str, part: int, runtime: Runtime, model: str | Path, operators: Path | None = None
    ) -> list[str]:
        """How the native runner is called on a model file, as a core.

        On one thread: an emulated thread is a thread here, and several artifacts are asked side by side.

        Args:
            cpu: what QEMU is to be, such as `cortex-a76`.
            part: Arm's number of the core, which libraries look up.

        Raises:
            MissingTool: the runtime's libraries for that machine are not here, or the runner cannot be built.
        """
        runner = executable_for(self.target, runtime, kept(runtime))
        qemu = [str(self.program), "-cpu", cpu, "-L", str(self._root(part))]
        return [*qemu, str(runner), *runner_options(model, 1, operators)]

    def _root(self, part: int) -> Path:
        """A folder in which a program finds its C library, and its core in /proc/cpuinfo.

        QEMU looks for a file there before it takes that of this machine, whose own cores the libraries would
        else find: ONNX Runtime 1.32 crashes on them.
        """
        count = os.cpu_count() or 1  # all of them, as the libraries look for each, not those that may be used
        folder = cache_folder("emulation") / f"root-{part:03x}-{count}-{self.libc.parent.name}"
        if not folder.is_dir():
            with kept_once(folder) as made:
                (made / "lib").symlink_to(self.libc)
                (made / "proc").mkdir()
                (made / "proc" / "cpuinfo").write_text(_cpuinfo(part, count), encoding="ascii")
        return folder


def emulator() -> Emulator:
    """The QEMU of this machine.

    Raises:
        MissingTool: there is none, or no cross-compiler, whose C library programs run with.
    """
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise MissingTool(f"{PROGRAMS[0]}, the emulator, is not installed", fix=GET_QEMU)
    said = _said(program, "--version")
    found = re.search(r"version (\S+)", said)
    # A heading, then a name a line.
    cpus = frozenset(line.strip() for line in _said(program, "-cpu", "help").splitlines()[1:])
    libc = Path(_said(*Emulator.target.command(), "-print-file-name=libc.so.6").strip()).resolve()
    return Emulator(Path(program), found[1] if found else "unknown", cpus, libc.parent)


def _cpuinfo(part: int, count: int) -> str:
    """What Linux tells of so many equal cores of Arm's."""
    lines = {
        "Features": "fp asimd",
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": f"0x{part:03x}",
        "CPU revision": "0",
    }
    said = "".join(f"{name}\t: {value}\n" for name, value in lines.items())
    return "".join(f"processor\t: {number}\n{said}\n" for number in range(count))


def _said(*command: str) -> str:
    return processes.ask(command)
