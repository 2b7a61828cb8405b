"""The three accounts of memory (predicted, planned, measured), each with figures for the same parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.core.figures import Figure, How
from nf_edge.measure.memory.firmware_account import FirmwareAccount

# How a part of the file is predicted.
COUNTED = "counted, as the file's writer lays it out, if no two constants are equal"
ESTIMATED = "estimated, from files that were measured"
FILE_PARTS = ("program", "weights", "embeddings")
FREED = "free heap after load"
UNACCOUNTED = "unaccounted"
NO_PROCFS = "this system does not report the memory of a process"
# Parts that an application allocates, in writable memory.
HEAP_PARTS = ("weights and graph in heap", FREED, KV_CACHE, "arenas", "workspace")
PROCESS_PARTS = ("model file, mapped", *HEAP_PARTS, "runtime", UNACCOUNTED)
# Only these pages belong to the process alone; the kernel may drop the others and read them again.
KINDS = ("private", "mapped", "shareable")

Phase = Literal["steady state", "load peak"]


@dataclass(frozen=True)
class Account:
    """One account: bytes of each part of the file and of the process, and their totals.

    Attributes:
        file: bytes of each part of the file.
        file_total: bytes of the file.
        process: bytes of each part of the process while the loaded model runs.
        steady: bytes of the process while the loaded model runs.
        load_peak: bytes of the process at the peak of loading.
        heap: bytes of the parts that need writable memory even if the file and the code stay in flash.
        kinds: bytes of `steady` by kind of page.
        uncounted: maps each unknown part of the process, and an unknown peak of loading, to the reason; no
            total includes them.
        firmware: the memory of a microcontroller's firmware; None if the file does not run on one.
    """

    file: dict[str, Figure]
    file_total: Figure
    process: dict[str, Figure]
    steady: Figure
    load_peak: Figure
    heap: Figure
    kinds: dict[str, Figure]
    uncounted: dict[str, str] = field(default_factory=dict)
    firmware: FirmwareAccount | None = None

    @property
    def phase(self) -> Phase:
        """The phase in which the process needs more memory: `steady state` or `load peak`."""
        steady, load_peak = self.steady.value, self.load_peak.value
        return "load peak" if load_peak is not None and not load_peak <= (steady or 0) else "steady state"

    @property
    def process_total(self) -> Figure:
        """The bytes that the process needs at most: the larger of `steady` and `load_peak`."""
        return self.load_peak if self.phase == "load peak" else self.steady


def missing_account(reason: str) -> Account:
    """An account without figures, for the given reason."""
    nothing = Figure.unavailable("bytes", reason)
    return Account(
        file=dict.fromkeys(FILE_PARTS, nothing),
        file_total=nothing,
        process=dict.fromkeys(PROCESS_PARTS, nothing),
        steady=nothing,
        load_peak=nothing,
        heap=nothing,
        kinds=dict.fromkeys(KINDS, nothing),
    )


def sum_of(parts: Mapping[str, Figure], how: How) -> Figure:
    """The sum of the known parts, in bytes; its note names the unknown parts.

    Args:
        how: the origin of the sum.
    """
    known = [figure.value for figure in parts.values() if figure.value is not None]
    missing = [name for name, figure in parts.items() if figure.value is None and name != UNACCOUNTED]
    return Figure(sum(known), "bytes", how, f"without {'; '.join(missing)}" if missing else "")
