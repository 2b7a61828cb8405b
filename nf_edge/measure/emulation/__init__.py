"""Runs an artifact's very file on a device's own kind of core, emulated on this machine.

The native runner, built for Linux on Arm with the Arm libraries of the runtimes that are installed here,
runs under QEMU's user mode as the core that a device has.  The libraries choose their kernels by what that
core can do, as they do on the device, so that its answers are had before there is one; its times are not.
"""

from nf_edge.measure.emulation.cores import EmulatedCore, emulated_cores
from nf_edge.measure.emulation.libraries import RUNTIMES, kept
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.emulation.sessions import AskedDecoder, AskedSession, asked, load
from nf_edge.measure.emulation.set_up import set_up
from nf_edge.measure.emulation.trace import FAR, Beginning, beginning

__all__ = [
    "FAR",
    "RUNTIMES",
    "AskedDecoder",
    "AskedSession",
    "Beginning",
    "EmulatedCore",
    "Emulator",
    "asked",
    "beginning",
    "emulated_cores",
    "emulator",
    "kept",
    "load",
    "set_up",
]
