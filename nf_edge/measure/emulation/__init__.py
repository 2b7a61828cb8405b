"""Run an artifact's file on an emulated core of a device.

The native runner is built for Linux on Arm, with the Arm libraries of the installed runtime versions.  QEMU's
user mode emulates the core.  The libraries choose their kernels by the core's instruction sets, as on the
device.  Therefore the predictions are the device's; the times are not.
"""

from nf_edge.measure.emulation.cores import EmulatedCore, emulated_cores
from nf_edge.measure.emulation.libraries import RUNTIMES, kept
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.emulation.sessions import load, session_of
from nf_edge.measure.emulation.set_up import set_up
from nf_edge.measure.emulation.trace import FAR, FirstDivergence, first_divergence

__all__ = [
    "FAR",
    "RUNTIMES",
    "EmulatedCore",
    "Emulator",
    "FirstDivergence",
    "emulated_cores",
    "emulator",
    "first_divergence",
    "kept",
    "load",
    "session_of",
    "set_up",
]
