"""Getting all that emulation takes, once."""

from nf_edge.core.progress import Progress, silent
from nf_edge.measure.emulation.libraries import RUNTIMES, fetch
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.runner import executable_for


def set_up(progress: Progress = silent) -> None:
    """Find QEMU and the cross-compiler, fetch the runtimes' libraries, and build the runner with them.

    Raises:
        MissingTool: something cannot be had without the user; its fix is the command.
    """
    emulator()
    for done, runtime in enumerate(RUNTIMES):
        progress("fetching and building", done, len(RUNTIMES))
        executable_for(Emulator.target, runtime, fetch(runtime))
    progress("fetching and building", len(RUNTIMES), len(RUNTIMES))
