"""QEMU's user mode, and the runner under it."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nf_edge.emulation.libraries import kept
from nf_edge.errors import MissingTool
from nf_edge.runner import Runtime, executable_for, runner_options
from nf_edge.targets import TARGETS, Target

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
        root: where the C library for that machine is.
    """

    program: Path
    version: str
    cpus: frozenset[str]
    root: Path
    target: ClassVar[Target] = TARGETS["aarch64-linux"]

    def command(
        self, cpu: str, runtime: Runtime, model: str | Path, operators: Path | None = None
    ) -> list[str]:
        """How the native runner is called on a model file, as a core.

        On one thread: an emulated thread is a thread here, and several artifacts are asked side by side.

        Raises:
            MissingTool: the runtime's libraries for that machine are not here, or the runner cannot be built.
        """
        runner = executable_for(self.target, runtime, kept(runtime))
        qemu = [str(self.program), "-cpu", cpu, "-L", str(self.root)]
        return [*qemu, str(runner), *runner_options(model, 1, operators)]


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
    return Emulator(Path(program), found[1] if found else "unknown", cpus, libc.parent.parent)


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout
