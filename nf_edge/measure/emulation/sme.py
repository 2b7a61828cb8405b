"""Whether an emulator is to be trusted with SME.

QEMU 7.2 computes SMOPA wrongly, and with it whatever int8 kernels for SME compute.
"""

from pathlib import Path

from nf_edge.core import native_build, processes
from nf_edge.core.native_build import Native
from nf_edge.measure.emulation.machine import Emulator

SOURCE = Path(__file__).parent / "native"
CHECK = Native("emulation-check", SOURCE, "nf-sme-check", Path("bin", "nf-sme-check"))


def sme_fault(qemu: Emulator, cpu: str) -> str:
    """What this emulator gets wrong of SME as that core; "" where nothing is found, or the core has no SME.

    Raises:
        MissingTool: the program that finds out cannot be built.
    """
    if not cpu.startswith("max") or "sme=off" in cpu:
        return ""
    program = native_build.built(CHECK, [], [], Emulator.target)
    command = [str(qemu.program), "-cpu", cpu, "-L", str(qemu.libc.parent), str(program)]
    said = processes.ask(command).strip()
    if said.startswith("0 of"):
        return ""
    return (
        f"this QEMU computes SME's product of int8 (SMOPA) wrongly, {said or 'none'} of its sums: what int8 "
        "kernels for SME answer here says nothing of a core; name it without, as max:sme=off"
    )
