"""Choose the QEMU core that emulates a device's core."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
from nf_edge.core import resources
from nf_edge.core.device import Core, Device, Isa, is_device, load_device
from nf_edge.core.device.arm_parts import PARTS
from nf_edge.core.device.processor import ARM64, Processor
from nf_edge.core.errors import BadInput
from nf_edge.measure.emulation.machine import Emulator, emulator
from nf_edge.measure.emulation.sme import sme_fault

# Instruction sets that libraries choose kernels by, in addition to `neon`, which every core has.
CHOOSING: frozenset[Isa] = frozenset({"dotprod", "fp16", "i8mm", "bf16", "sve", "sve2", "sme"})
# A device core's instruction sets in `CHOOSING` → the QEMU core that has the same ones.
LIKE: dict[frozenset[Isa], str] = {
    frozenset(): "cortex-a53",
    frozenset({"dotprod", "fp16"}): "cortex-a76",
}
# QEMU's core with every instruction set that QEMU supports.
ALL = "max"
UNKNOWN_PART = 0


@dataclass(frozen=True)
class EmulatedCore:
    """An emulated core that runs an artifact.

    Attributes:
        name: the device and its core, or QEMU's name of the core.
        cpu: QEMU's `-cpu` option, such as `cortex-a76`.
        part: Arm's part number of the core, by which libraries recognize it.
        isa: instruction sets of the device's core; empty if `name` is QEMU's.
        note: why another core replaces the device's, or why results are not reliable; "" if neither applies.
        emulator: the QEMU that emulates the core.
    """

    name: str
    cpu: str
    part: int
    isa: frozenset[Isa]
    note: str
    emulator: Emulator

    @property
    def processor(self) -> Processor:
        """The core as a processor of one thread."""
        return Processor(self.name, ARM64, (self.isa,) if self.isa else (), 1)

    def command(self, runnable: Runnable) -> list[str]:
        """The command that runs a model file in the native runner on this core.

        Raises:
            BadInput: the file is not for CPUs.
            MissingTool: the runtime's Arm libraries are missing, or the runner cannot be built.
        """
        backend = runnable.backend
        if backend.reference_executor:
            raise BadInput(
                f"is for backend {backend.name}, whose files run on none of the cores that can be emulated",
                where=runnable.file,
                fix="leave out --on",
            )
        operators = backend.operators_file(self.emulator.target)
        return self.emulator.command(self.cpu, self.part, backend.runtime, runnable.file, operators)


def emulated_cores(names: Sequence[str]) -> list[EmulatedCore]:
    """The emulated cores for devices and for QEMU core names; equal cores appear once.

    Args:
        names: devices, as in `load_device`, or QEMU's cores with options after colons (`cortex-a76`;
            `max:sme=off`).

    Raises:
        BadInput: a name is neither a device nor a core, or the device cannot run Linux programs.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    qemu = emulator()
    cores: list[EmulatedCore] = []
    for name in names:
        kind = name.partition(":")[0]
        if kind in qemu.cpus:
            cpu = name.replace(":", ",")
            part, note = PARTS.get(kind, UNKNOWN_PART), sme_fault(qemu, cpu)
            cores.append(EmulatedCore(name, cpu, part, frozenset(), note, qemu))
        elif is_device(name):
            cores += _cores_of_device(load_device(name), qemu)
        else:
            known = ", ".join(resources.names("devices"))
            raise BadInput(
                "is neither a device nor a core of the installed QEMU",
                where=f"--on {name}",
                fix=f"use a device ({known}) or a core ({', '.join(sorted(qemu.cpus))})",
            )
    return list(dict.fromkeys(cores))


def _cores_of_device(device: Device, qemu: Emulator) -> list[EmulatedCore]:
    if not all("neon" in core.isa.value for core in device.cpu):
        raise BadInput(
            f"{device.id} has {device.cpu[0].core}; only Linux programs on Arm's Cortex-A cores are emulated",
            where=f"--on {device.id}",
            fix="use a device with Cortex-A cores, such as rpi-5 (nf-edge devices list)",
        )
    cores = []
    for core in device.cpu:
        original, cpu = _qemu_name(core), _emulated_as(core, qemu.cpus)
        sets = ", ".join(part for part in core.isa.value if part in CHOOSING) or "neon alone"
        note = "" if cpu == original else f"this QEMU has no {core.core}, so {cpu} emulates it with {sets}"
        note = "; ".join(part for part in (note, sme_fault(qemu, cpu)) if part)
        name = f"{device.id} {core.core}" if len(device.cpu) > 1 else device.id
        part, isa = PARTS.get(original, UNKNOWN_PART), frozenset(core.isa.value)
        cores.append(EmulatedCore(name, cpu, part, isa, note, qemu))
    return cores


def _emulated_as(core: Core, known: Collection[str]) -> str:
    """The QEMU core for a device's core: the same core, or one with the same instruction sets."""
    sets = CHOOSING & frozenset(core.isa.value)
    for cpu in (_qemu_name(core), LIKE.get(sets)):
        if cpu in known:
            return str(cpu)
    # Arm's cores in phones have 128-bit vectors.
    vectors = "sve-max-vq=1" if "sve" in sets else "sve=off"
    return f"{ALL},{'sme=on' if 'sme' in sets else 'sme=off'},{vectors}"


def _qemu_name(core: Core) -> str:
    """The name that QEMU gives a core, such as `cortex-a76` for `Cortex-A76 (fast)`."""
    return core.core.partition(" (")[0].lower().replace(" ", "-")
