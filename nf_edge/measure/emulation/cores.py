"""Which of QEMU's cores stands in for a device's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends.base import Backend
from nf_edge.core import resources
from nf_edge.core.device import Core, Device, Isa, load_device
from nf_edge.core.errors import BadInput
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.emulation.sme import sme_fault

# What kernels are chosen by, beside the `neon` that all have.
CHOOSING: frozenset[Isa] = frozenset({"dotprod", "fp16", "i8mm", "bf16", "sve", "sve2", "sme"})
# The cores whose instruction sets are all that a device has, by what of these they have.
LIKE: dict[frozenset[Isa], str] = {
    frozenset(): "cortex-a53",
    frozenset({"dotprod", "fp16"}): "cortex-a76",
}
# QEMU's own core, which has all that QEMU knows.
ALL = "max"
# Arm's part numbers, by which libraries choose among the kernels for one instruction set (Linux,
# arch/arm64/include/asm/cputype.h).
PARTS = {
    "cortex-a53": 0xD03,
    "cortex-a35": 0xD04,
    "cortex-a55": 0xD05,
    "cortex-a57": 0xD07,
    "cortex-a72": 0xD08,
    "cortex-a73": 0xD09,
    "cortex-a75": 0xD0A,
    "cortex-a76": 0xD0B,
    "neoverse-n1": 0xD0C,
    "cortex-a77": 0xD0D,
    "cortex-a78": 0xD41,
    "cortex-a78ae": 0xD42,
    "cortex-x1": 0xD44,
    "cortex-a510": 0xD46,
    "cortex-a710": 0xD47,
    "cortex-x2": 0xD48,
    "cortex-a715": 0xD4D,
    "cortex-x3": 0xD4E,
    "cortex-a520": 0xD80,
    "cortex-a720": 0xD81,
    "cortex-x4": 0xD82,
}
UNKNOWN_PART = 0


@dataclass(frozen=True)
class EmulatedCore:
    """A core that an artifact is run as.

    Attributes:
        name: the device and its core, or what QEMU calls it.
        cpu: what QEMU is told, such as `cortex-a76`.
        part: the number that the libraries are told, by which they know a core of Arm's.
        note: why it is not the device's own, or not to be trusted; "" where neither is so.
        emulator: that runs it.
    """

    name: str
    cpu: str
    part: int
    note: str
    emulator: Emulator

    def command(self, backend: Backend, model: Path) -> list[str]:
        """How the native runner is called on a model file of a backend's, as this core.

        Raises:
            BadInput: the backend's files are not for CPUs.
            MissingTool: the runtime's libraries for that machine are not here, or the runner or the kernels
                cannot be built.
        """
        if backend.reference_executor:
            raise BadInput(
                f"is for backend {backend.name}, of which a CPU runs nothing",
                where=model,
                fix="leave out --on",
            )
        operators = backend.operators_file(self.emulator.target)
        return self.emulator.command(self.cpu, self.part, backend.runtime, model, operators)


def emulated_cores(names: Sequence[str]) -> list[EmulatedCore]:
    """The cores of devices, each kind of theirs, and those named outright; each once.

    Args:
        names: devices, as `load_device` takes them, or cores of QEMU's (`cortex-a76`; `max:sme=off`, with
            options after a colon each).

    Raises:
        BadInput: a name is neither, or of a device that runs no Linux programs.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    qemu = emulator()
    found: list[EmulatedCore] = []
    for name in names:
        own = name.partition(":")[0]
        if own in qemu.cpus:
            cpu = name.replace(":", ",")
            found.append(EmulatedCore(name, cpu, PARTS.get(own, UNKNOWN_PART), sme_fault(qemu, cpu), qemu))
        elif name in resources.names("devices") or name.endswith(".yaml"):
            found += _of_device(load_device(name), qemu)
        else:
            known = ", ".join(resources.names("devices"))
            raise BadInput(
                "is neither a device nor a core that QEMU has here",
                where=f"--on {name}",
                fix=f"devices: {known}; cores: {', '.join(sorted(qemu.cpus))}",
            )
    return list(dict.fromkeys(found))


def _of_device(device: Device, qemu: Emulator) -> list[EmulatedCore]:
    if device.class_ == "mcu":
        raise BadInput(
            f"{device.id} is a microcontroller: what is emulated are programs of Linux on Arm's A cores",
            where=f"--on {device.id}",
            fix="name a phone or a board",
        )
    found = []
    for core in device.cpu:
        own, cpu = _own(core), _stand_in(core, qemu.cpus)
        sets = ", ".join(part for part in core.isa.value if part in CHOOSING) or "neon alone"
        note = "" if cpu == own else f"QEMU has no {core.core} here: {cpu} stands in for {sets}"
        note = "; ".join(part for part in (note, sme_fault(qemu, cpu)) if part)
        name = f"{device.id} {core.core}" if len(device.cpu) > 1 else device.id
        found.append(EmulatedCore(name, cpu, PARTS.get(own, UNKNOWN_PART), note, qemu))
    return found


def _stand_in(core: Core, known: Collection[str]) -> str:
    """QEMU's core for a device's."""
    sets = CHOOSING & frozenset(core.isa.value)
    for cpu in (_own(core), LIKE.get(sets)):
        if cpu in known:
            return str(cpu)
    # Arm's cores for phones have vectors of 128 bits.
    vectors = "sve-max-vq=1" if "sve" in sets else "sve=off"
    return f"{ALL},{'sme=on' if 'sme' in sets else 'sme=off'},{vectors}"


def _own(core: Core) -> str:
    """The name that QEMU would have for it."""
    return core.core.lower().replace(" ", "-")
