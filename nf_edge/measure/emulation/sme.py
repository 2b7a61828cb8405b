"""Check whether an emulator computes SME correctly.

QEMU 7.2 computes the instruction SMOPA wrongly, so int8 kernels for SME give wrong results.
"""

from pathlib import Path

from nf_edge.core import native_build, processes
from nf_edge.core.native_build import NativePart
from nf_edge.measure.emulation.machine import Emulator

SOURCE = Path(__file__).parent / "native"
CHECK = NativePart("emulation-check", SOURCE, "nf-sme-check", Path("bin", "nf-sme-check"))


def sme_fault(qemu: Emulator, cpu: str) -> str:
    """A description of this emulator's SME fault for a core; "" if it computes correctly, or the core has no
    SME.

    Raises:
        MissingTool: the test program cannot be built.
    """
    if not cpu.startswith("max") or "sme=off" in cpu:
        return ""
    program = native_build.built(CHECK, [], [], Emulator.target)
    command = [str(qemu.program), "-cpu", cpu, "-L", str(qemu.libc.parent), str(program)]
    wrong = processes.output_of(command).strip()
    if wrong.startswith("0 of"):
        return ""
    return (
        f"this QEMU computes SME's int8 product (SMOPA) wrongly ({wrong or 'none'} of its sums), so int8 "
        "results differ from a real core's; leave SME out with max:sme=off"
    )
