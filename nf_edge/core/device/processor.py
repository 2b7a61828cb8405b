"""The CPU that a prediction is for: libraries choose kernels by its instruction sets."""

import platform
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.device.device import Device
from nf_edge.core.device.isa import Isa
from nf_edge.core.device.machine import read_machine
from nf_edge.core.errors import CannotRun

Isas = frozenset[Isa]
X86, ARM64 = "x86-64", "arm64"
ARCHITECTURES = {"x86_64": X86, "AMD64": X86, "aarch64": ARM64, "arm64": ARM64}
THIS_MACHINE = "this machine"


@dataclass(frozen=True)
class Processor:
    """A CPU and the number of threads that a runtime starts on it.

    Attributes:
        name: the id of the device, or `this machine`.
        architecture: `x86-64` or `arm64`; "" for a microcontroller, or if it is unknown.
        cores: the instruction sets of each kind of core; empty if they are unknown.
        threads: one per core.
    """

    name: str
    architecture: str
    cores: tuple[Isas, ...]
    threads: int

    @classmethod
    def of(cls, device: Device) -> "Processor":
        """The processor of a device.

        Unverified instruction sets count as unknown, so that a prediction takes the largest kernel.
        """
        cores = tuple(frozenset(core.isa.value) for core in device.cpu)
        architecture = _architecture(cores)
        known = bool(architecture) and all(core.isa.verified for core in device.cpu)
        threads = sum(core.count.value for core in device.cpu)
        return cls(device.id, architecture, cores if known else (), threads)

    def may_have(self, isa: Isa) -> bool:
        """Whether a core has one of Arm's instruction sets, or may have it because they are unknown."""
        return self.architecture != X86 and (not self.cores or any(isa in core for core in self.cores))

    def __str__(self) -> str:
        """Words for reports, such as `arm64 (neon, dotprod, fp16), 4 threads`."""
        sets = " or ".join(dict.fromkeys(", ".join(sorted(core)) for core in self.cores))
        kind = f"{self.architecture or 'unknown'} ({sets or 'the largest kernels'})"
        return f"{self.name}: {kind}, {self.threads} {'thread' if self.threads == 1 else 'threads'}"


# The largest kernels of all processors, for a figure that depends on no device.
ANY = Processor("any processor", "", (), 2)


@cache
def this_processor() -> Processor:
    """The processor of this machine; its instruction sets are unknown on other systems than Linux."""
    architecture = ARCHITECTURES.get(platform.machine(), "")
    try:
        cores = tuple(frozenset(cluster.isa) for cluster in read_machine().cpu)
    except CannotRun:
        cores = ()
    return Processor(THIS_MACHINE, architecture, cores, allowed_cpus())


def processor_for(device: Device | None) -> Processor:
    """The processor of a device; without a device, this machine's."""
    return Processor.of(device) if device else this_processor()


def _architecture(cores: Iterable[Isas]) -> str:
    """The architecture of cores, by their instruction sets."""
    every = frozenset[Isa]().union(*cores)
    return ARM64 if "neon" in every else X86 if every & {"avx2", "avx512f", "fma"} else ""
