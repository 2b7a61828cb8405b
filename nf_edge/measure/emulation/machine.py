"""QEMU's user mode, which emulates a core for the native runner."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from nf_edge.core import processes
from nf_edge.core.errors import MissingTool
from nf_edge.core.native_build import cache_folder, new_cache_entry
from nf_edge.core.targets import TARGETS, BuildTarget
from nf_edge.measure.emulation.libraries import kept
from nf_edge.measure.runner import Runtime, executable_for, runner_options

# Debian's QEMU programs; the first one needs no other package.
PROGRAMS = ("qemu-aarch64-static", "qemu-aarch64")
GET_QEMU = "apt-get install qemu-user-static"


@dataclass(frozen=True)
class Emulator:
    """An installed QEMU, whose user mode runs Linux programs for Arm.

    Attributes:
        program: path of QEMU.
        version: version of QEMU, such as `7.2.22`.
        cpus: names of the emulated cores.
        libc: folder of the C library for Arm.
    """

    program: Path
    version: str
    cpus: frozenset[str]
    libc: Path
    target: ClassVar[BuildTarget] = TARGETS["aarch64-linux"]

    def command(
        self, cpu: str, part: int, runtime: Runtime, model: str | Path, operators: Path | None = None
    ) -> list[str]:
        """The command that runs a model file in the native runner on an emulated core.

        It uses one thread, because several emulators share this machine's CPUs.

        Args:
            cpu: QEMU's `-cpu` option, such as `cortex-a76`.
            part: Arm's part number of the core, by which libraries recognize it.
            operators: a library with operators that the model calls; None: it calls only the runtime's.

        Raises:
            MissingTool: the runtime's Arm libraries are missing, or the runner cannot be built.
        """
        runner = executable_for(self.target, runtime, kept(runtime))
        qemu = [str(self.program), "-cpu", cpu, "-L", str(self._root(part))]
        return [*qemu, str(runner), *runner_options(model, 1, operators)]

    def _root(self, part: int) -> Path:
        """A root folder with the C library for Arm and a /proc/cpuinfo of the core.

        QEMU prefers files in this folder.  Without them, libraries would read this machine's cores, and ONNX
        Runtime 1.32 would crash.

        Args:
            part: Arm's part number of the core, for /proc/cpuinfo.
        """
        # The libraries look up every CPU, including those that this process may not use.
        count = os.cpu_count() or 1
        folder = cache_folder("emulation") / f"root-{part:03x}-{count}-{self.libc.parent.name}"
        if not folder.is_dir():
            with new_cache_entry(folder) as made:
                (made / "lib").symlink_to(self.libc)
                (made / "proc").mkdir()
                (made / "proc" / "cpuinfo").write_text(_cpuinfo(part, count), encoding="ascii")
        return folder


def emulator() -> Emulator:
    """Find the installed QEMU and its C library for Arm.

    Raises:
        MissingTool: QEMU is missing, or the cross-compiler, which provides the C library, is missing.
    """
    program = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if program is None:
        raise MissingTool(f"{PROGRAMS[0]}, the emulator, is not installed", fix=GET_QEMU)
    version = re.search(r"version (\S+)", _output(program, "--version"))
    # QEMU prints a heading, then one core name per line.
    cpus = frozenset(line.strip() for line in _output(program, "-cpu", "help").splitlines()[1:])
    libc = Path(_output(*Emulator.target.command(), "-print-file-name=libc.so.6").strip()).resolve()
    return Emulator(Path(program), version[1] if version else "unknown", cpus, libc.parent)


def _cpuinfo(part: int, count: int) -> str:
    """The content of /proc/cpuinfo for a machine with `count` equal Arm cores.

    Args:
        part: Arm's part number of the core.
    """
    lines = {
        "Features": "fp asimd",
        "CPU implementer": "0x41",
        "CPU architecture": "8",
        "CPU variant": "0x0",
        "CPU part": f"0x{part:03x}",
        "CPU revision": "0",
    }
    text = "".join(f"{name}\t: {value}\n" for name, value in lines.items())
    return "".join(f"processor\t: {number}\n{text}\n" for number in range(count))


def _output(*command: str) -> str:
    """The stdout of a command."""
    return processes.output_of(command)
