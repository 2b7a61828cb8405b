"""Which of QEMU's cores stands in for a device's."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge import resources
from nf_edge.backends.base import Backend
from nf_edge.device import Core, Device, Isa, load_device
from nf_edge.emulation.machine import Emulator, emulator
from nf_edge.errors import BadInput

# What kernels are chosen by, beside the `neon` that all have.
CHOOSING: frozenset[Isa] = frozenset({"dotprod", "fp16", "i8mm", "bf16", "sve", "sve2", "sme"})
# The cores whose instruction sets are all that a device has, by what of these they have.
LIKE: dict[frozenset[Isa], str] = {
    frozenset(): "cortex-a53",
    frozenset({"dotprod", "fp16"}): "cortex-a76",
}
# QEMU's own core, which has all that QEMU knows.
ALL = "max"


@dataclass(frozen=True)
class EmulatedCore:
    """A core that an artifact is run as.

    Attributes:
        name: what the user named: a device, or QEMU's own name of a core.
        cores: the device's cores that it stands for; none where QEMU's own was named.
        cpu: what QEMU is told, such as `cortex-a76`.
        note: why it is not the device's own; "" where it is.
        emulator: that runs it.
    """

    name: str
    cores: tuple[str, ...]
    cpu: str
    note: str
    emulator: Emulator

    def command(self, backend: Backend, model: Path) -> list[str]:
        """How the native runner is called on a model file of a backend's, as this core.

        Raises:
            BadInput: the backend's files are not for CPUs.
            MissingTool: the runtime's libraries for that machine are not here, or the runner or the kernels
                cannot be built.
        """
        if backend.simulated:
            raise BadInput(
                f"is for backend {backend.name}, of which a CPU runs nothing",
                where=model,
                fix="leave out --on",
            )
        operators = backend.operators_file(self.emulator.target)
        return self.emulator.command(self.cpu, backend.runtime, model, operators)


def emulated_cores(names: Sequence[str]) -> list[EmulatedCore]:
    """The cores of devices and those named outright, each once.

    Args:
        names: devices, as `load_device` takes them, or cores of QEMU's (`cortex-a76`; `max:sme=off`, with
            options after a colon each).

    Raises:
        BadInput: a name is neither, or of a device that runs no Linux programs.
        MissingTool: QEMU or the cross-compiler is not installed.
    """
    qemu = emulator()
    known = qemu.cpus
    found: list[EmulatedCore] = []
    for name in names:
        if name.partition(":")[0] in known:
            found.append(EmulatedCore(name, (), name.replace(":", ","), "", qemu))
        elif name in resources.names("devices") or name.endswith(".yaml"):
            found += _of_device(load_device(name), qemu)
        else:
            raise BadInput(
                "is neither a device nor a core that QEMU has here",
                where=f"--on {name}",
                fix=f"devices: {', '.join(resources.names('devices'))}; cores: {', '.join(sorted(known))}",
            )
    return list(dict.fromkeys(found))


def _of_device(device: Device, qemu: Emulator) -> list[EmulatedCore]:
    """One for all of its cores that are emulated alike."""
    if device.class_ == "mcu":
        raise BadInput(
            f"{device.id} is a microcontroller: what is emulated are programs of Linux on Arm's A cores",
            where=f"--on {device.id}",
            fix="name a phone or a board",
        )
    alike: dict[str, list[Core]] = {}
    for core in device.cpu:
        alike.setdefault(_stand_in(core, qemu.cpus), []).append(core)
    return [
        EmulatedCore(device.id, tuple(core.core for core in cores), cpu, _why(cores, cpu), qemu)
        for cpu, cores in alike.items()
    ]


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


def _why(cores: Sequence[Core], cpu: str) -> str:
    """Why it is not the cores' own; "" where it is."""
    others = [core for core in cores if _own(core) != cpu]
    if not others:
        return ""
    sets = ", ".join(part for part in others[0].isa.value if part in CHOOSING) or "neon alone"
    return f"QEMU has no {' or '.join(core.core for core in others)} here: {cpu} stands in ({sets})"
