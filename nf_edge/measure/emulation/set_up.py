"""Prepare emulation: check QEMU, download libraries, and build the native runner for Arm."""

from nf_edge.core.progress import Progress, silent
from nf_edge.measure.emulation.libraries import RUNTIMES, fetch
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.runner import executable_for


def set_up(progress: Progress = silent) -> None:
    """Check QEMU and the cross-compiler, download the runtimes' libraries, and build the runner with them.

    Raises:
        MissingTool: the user must install a tool first; the error's fix is the command to do so.
    """
    emulator()
    for done, runtime in enumerate(RUNTIMES):
        progress("downloading and building", done, len(RUNTIMES))
        executable_for(Emulator.target, runtime, fetch(runtime))
    progress("downloading and building", len(RUNTIMES), len(RUNTIMES))
