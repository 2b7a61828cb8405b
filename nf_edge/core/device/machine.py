"""Read the facts that Linux reports about this machine: name, chip, memory and CPU cores."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.available_memory import available_memory, machine_memory
from nf_edge.core.device.arm_parts import part_name
from nf_edge.core.device.isa import Isa, of_linux
from nf_edge.core.errors import CannotRun


@dataclass(frozen=True)
class Cluster:
    """Equal CPU cores.

    Attributes:
        core: name of the core.
        count: number of cores, not of their threads.
        mhz: highest clock; None if Linux does not say.
        isa: instruction sets that all of them have.
    """

    core: str
    count: int
    mhz: int | None
    isa: tuple[Isa, ...]


@dataclass(frozen=True)
class Machine:
    """Facts about a machine; each text is "" if Linux does not report it.

    Attributes:
        name: the maker's name of the machine.
        soc: the chip.
        ram: bytes of memory that Linux manages.
        available: bytes that a new process can have at this moment.
        x86, arm64, android: the kind of processor and system.
    """

    name: str
    soc: str
    ram: int
    available: int
    cpu: tuple[Cluster, ...]
    x86: bool
    arm64: bool
    android: bool


def read_machine(root: Path = Path("/")) -> Machine:
    """The machine that this process runs on.

    Args:
        root: the folder that has `proc` and `sys`.

    Raises:
        CannotRun: it is not a Linux machine.
    """
    ram, available = machine_memory(root).get("MemTotal"), available_memory(root, swap=False)
    processors = [
        dict(re.findall(r"^([^\t:]+?)\s*: *(.*)$", block, re.MULTILINE))
        for block in _text(root / "proc/cpuinfo").split("\n\n")
    ]
    processors = [each for each in processors if "processor" in each]
    if ram is None or available is None or not processors:
        raise CannotRun(
            "this machine does not describe itself as Linux does, in /proc/meminfo and /proc/cpuinfo",
            fix="write a device file with nf-edge devices new",
        )
    features = processors[0].get("Features", "").split()
    x86 = "vendor_id" in processors[0] and "flags" in processors[0]
    return Machine(
        name=_name(root),
        soc=processors[0].get("model name", "") if x86 else _compatible(root),
        ram=ram,
        available=min(available, ram),
        cpu=_clusters(root, processors),
        x86=x86,
        arm64="asimd" in features,
        android=(root / "system/build.prop").exists(),
    )


def _name(root: Path) -> str:
    """The board's name in the device tree, or maker and product in DMI; `root` has `proc` and `sys`."""
    tree = _text(root / "proc/device-tree/model")
    vendor, product = (_text(root / f"sys/class/dmi/id/{key}") for key in ("sys_vendor", "product_name"))
    return " ".join((tree or f"{vendor} {product}").split())


def _compatible(root: Path) -> str:
    """The chip's name in the device tree, such as `brcm,bcm2712`: the last name of the key `compatible`."""
    names = _text(root / "proc/device-tree/compatible", separator=" ").split()
    return names[-1] if names else ""


def _clusters(root: Path, processors: list[dict[str, str]]) -> tuple[Cluster, ...]:
    """Group processors into clusters of equal cores, the fastest first.

    Args:
        root: the folder that has `sys`.
        processors: the fields of each processor in /proc/cpuinfo.
    """
    clusters: dict[str, list[dict[str, str]]] = defaultdict(list)
    for processor in processors:
        clusters[_core_name(processor)].append(processor)
    cpu = [_cluster(root, core, members) for core, members in clusters.items()]
    return tuple(sorted(cpu, key=lambda cluster: -(cluster.mhz or 0)))


def _core_name(processor: dict[str, str]) -> str:
    if "CPU part" in processor:
        return part_name(int(processor.get("CPU implementer", "0"), 16), int(processor["CPU part"], 16))
    return processor.get("model name") or processor.get("uarch") or "unknown"


def _cluster(root: Path, core: str, members: list[dict[str, str]]) -> Cluster:
    # The threads of a core have the number of the core and the number of its socket.
    cores = {(each.get("physical id"), each.get("core id", each["processor"])) for each in members}
    clocks = [
        _text(root / f"sys/devices/system/cpu/cpu{each['processor']}/cpufreq/cpuinfo_max_freq")
        for each in members
    ]
    known = [int(clock) // 1000 for clock in clocks if clock.isdecimal()]
    sets = [of_linux(each.get("Features", "") or each.get("flags", "")) for each in members]
    return Cluster(
        core=core,
        count=len(cores),
        mhz=max(known, default=0) or None,
        isa=tuple(isa for isa in sets[0] if all(isa in other for other in sets)),
    )


def _text(path: Path, separator: str = "") -> str:
    """The text of a kernel file, with each NUL replaced by `separator`; "" if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", separator).strip()
    except OSError:
        return ""
