"""The three accounts of memory, each as figures for the same parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.measure import Measurement
from nf_edge.measure.memory.python_process import NetMeasurement

FILE_PARTS = ("program", "weights", "embeddings")
LOADING = "given back after load"
UNACCOUNTED = "unaccounted"
NO_MALLINFO = "its C library does not tell what its heap holds (glibc does, from 2.33 on)"
NO_PROCFS = "this system does not tell what a process holds"
PROCESS_PARTS = (
    "model file, mapped",
    "weights and graph in heap",
    KV_CACHE,
    "arenas",
    "workspace",
    LOADING,
    "runtime",
    UNACCOUNTED,
)
HEAP_PARTS = ("weights and graph in heap", KV_CACHE, "arenas", "workspace")


@dataclass(frozen=True)
class Account:
    """One account: bytes of the parts of the file and of the process, and their totals."""

    file: dict[str, Figure]
    file_total: Figure
    process: dict[str, Figure]
    process_total: Figure
    heap: Figure
    """What must be in working memory even where the file rests in flash and the code too."""
    uncounted: dict[str, str] = field(default_factory=dict)
    """Parts of the process that are in no total, since their bytes are not known, with the reasons."""


def account_of_plan(
    plan: MemoryPlan, process_bytes: int | None, how: Literal["planned", "predicted"]
) -> Account:
    """A plan, completed by the size of the runtime's own process."""
    late = "the runtime decides it when it runs"
    process = {
        "model file, mapped": _figure(plan.mapped, how),
        "weights and graph in heap": _figure(plan.loaded, how),
        KV_CACHE: _figure(plan.cache, how, late),
        "arenas": _figure(plan.arenas, how, late),
        "workspace": _figure(plan.workspace, how, late),
        LOADING: _figure(plan.loading, how),
        "runtime": Figure.unavailable("bytes", "no process on this machine has such a device to run it on")
        if process_bytes is None
        else Figure(process_bytes, "bytes", how, "libraries and start-up, as measured on x86-64 Linux"),
        UNACCOUNTED: Figure.unavailable("bytes", "what no plan knows of"),
    }
    file = {name: _figure(getattr(plan, name), how) for name in FILE_PARTS}
    heap = {name: process[name] for name in HEAP_PARTS}
    uncounted = {
        name: figure.note for name, figure in process.items() if figure.value is None and name != UNACCOUNTED
    }
    return Account(file, _sum(file, how), process, _sum(process, how), _sum(heap, how), uncounted)


def account_of_measurement(measured: Measurement, file_bytes: int) -> Account:
    """What a run showed; of the file only its size can be measured."""
    if not measured.peak:
        return missing_account(NO_PROCFS)
    whole = Figure.unavailable("bytes", "a run shows the file as a whole")
    parts = {
        "model file, mapped": measured.mapped,
        "weights and graph in heap": measured.loaded,
        KV_CACHE: measured.cache,
        "arenas": measured.arenas,
        "workspace": measured.workspace,
        LOADING: measured.loading,
        "runtime": measured.runtime,
    }
    # Negative where memory was planned or allocated, but its pages were never touched.
    parts[UNACCOUNTED] = measured.peak - sum(parts.values())
    process = {name: Figure(value, "bytes", "measured") for name, value in parts.items()}
    heap = Figure(sum(parts[name] for name in HEAP_PARTS), "bytes", "measured")
    if not measured.heap_is_known:
        heap = Figure.unavailable("bytes", NO_MALLINFO)
        process |= dict.fromkeys((*HEAP_PARTS, UNACCOUNTED), heap)
    return Account(
        file=dict.fromkeys(FILE_PARTS, whole),
        file_total=Figure(file_bytes, "bytes", "measured"),
        process=process,
        process_total=Figure(measured.peak, "bytes", "measured", "peak of resident memory"),
        heap=heap,
    )


def account_of_emulation(measured: Measurement, file_bytes: int, core: EmulatedCore) -> Account:
    """What a run as another core showed, without what the emulator took for itself."""
    by = f"by QEMU {core.emulator.version}"
    if not measured.heap_is_known:
        return missing_account(NO_MALLINFO)
    process = {
        "model file, mapped": measured.mapped,
        "weights and graph in heap": measured.loaded,
        KV_CACHE: measured.cache,
        "arenas": measured.arenas,
        "workspace": measured.workspace,
    }
    parts = {name: Figure(value, "bytes", "emulated", by) for name, value in process.items()}
    own = Figure.unavailable("bytes", "pages of the emulator are among those of its process")
    heap = sum(process.values()) - measured.mapped
    return Account(
        file=dict.fromkeys(FILE_PARTS, Figure.unavailable("bytes", "a run shows the file as a whole")),
        file_total=Figure(file_bytes, "bytes", "measured"),
        process=parts | {LOADING: own, "runtime": own, UNACCOUNTED: own},
        process_total=own,
        heap=Figure(heap, "bytes", "emulated", by),
    )


def account_of_net_measurement(measured: NetMeasurement, file_bytes: int, why: str) -> Account:
    """What a Python process showed, for want of a native one: a total only."""
    if not measured.baseline:
        return missing_account(NO_PROCFS)
    reason = f"measured in a Python process, which shows only totals, because {why}"
    nothing = Figure.unavailable("bytes", reason)
    note = f"on top of the {format_bytes(measured.baseline)} of a Python process with the runtime in it"
    return Account(
        file=dict.fromkeys(FILE_PARTS, nothing),
        file_total=Figure(file_bytes, "bytes", "measured"),
        process=dict.fromkeys(PROCESS_PARTS, nothing),
        process_total=Figure(measured.net_peak, "bytes", "measured", note),
        heap=Figure(measured.net_peak, "bytes", "measured", note),
        uncounted={"runtime": "it is in the Python process before the model is loaded"},
    )


def missing_account(reason: str) -> Account:
    """An account that could not be had."""
    nothing = Figure.unavailable("bytes", reason)
    return Account(
        dict.fromkeys(FILE_PARTS, nothing), nothing, dict.fromkeys(PROCESS_PARTS, nothing), nothing, nothing
    )


def _figure(value: int | None, how: Literal["planned", "predicted"], why_none: str = "") -> Figure:
    return Figure.unavailable("bytes", why_none) if value is None else Figure(value, "bytes", how)


def _sum(parts: Mapping[str, Figure], how: Literal["planned", "predicted"]) -> Figure:
    known = [figure.value for figure in parts.values() if figure.value is not None]
    missing = [name for name, figure in parts.items() if figure.value is None and name != UNACCOUNTED]
    return Figure(sum(known), "bytes", how, f"without {', '.join(missing)}" if missing else "")
