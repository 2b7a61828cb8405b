"""The three accounts of memory (predicted, planned, measured), each with figures for the same parts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.measure.memory.firmware_account import FirmwareAccount, firmware_account

if TYPE_CHECKING:
    from nf_edge.measure.emulation import EmulatedCore
    from nf_edge.measure.memory.measure import Measurement
    from nf_edge.measure.memory.python_process import NetMeasurement

FILE_PARTS = ("program", "weights", "embeddings")
LOADING = "given back after load"
UNACCOUNTED = "unaccounted"
# How a part of the file is predicted.
COUNTED = "counted, as the file's writer lays it out, if no two constants are equal"
ESTIMATED = "estimated, from files that were measured"
NO_MALLINFO = "its C library does not report the heap (glibc does, from 2.33 on)"
NO_PROCFS = "this system does not report the memory of a process"
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
    """One account: bytes of each part of the file and of the process, and their totals.

    Attributes:
        file: bytes of each part of the file.
        file_total: bytes of the file.
        process: bytes of each part of the process.
        process_total: bytes of the process.
        heap: bytes of the parts that need writable memory even if the file and the code stay in flash.
        uncounted: maps each unknown part of the process to the reason; no total includes these parts.
        firmware: the memory of a microcontroller's firmware; None if the file does not run on one.
    """

    file: dict[str, Figure]
    file_total: Figure
    process: dict[str, Figure]
    process_total: Figure
    heap: Figure
    uncounted: dict[str, str] = field(default_factory=dict)
    firmware: FirmwareAccount | None = None


def account_of_plan(
    plan: MemoryPlan, process_bytes: int | None, how: Literal["planned", "predicted"]
) -> Account:
    """Make an account from a plan.

    Args:
        process_bytes: memory of a process that has only loaded the runtime; None if this machine cannot
            measure it.
        how: whether the plan is read from a file or predicted.
    """
    late = "the runtime decides it at run time"
    process = {
        "model file, mapped": _figure(plan.mapped, how),
        "weights and graph in heap": _figure(plan.loaded, how),
        KV_CACHE: _figure(plan.cache, how, late),
        "arenas": _figure(plan.arenas, how, late),
        "workspace": _figure(plan.workspace, how, late),
        LOADING: _figure(plan.loading, how),
        "runtime": Figure.unavailable(
            "bytes", "this machine cannot measure the runtime's memory on this kind of device"
        )
        if process_bytes is None
        else Figure(process_bytes, "bytes", how, "libraries and start-up, as measured on x86-64 Linux"),
        UNACCOUNTED: Figure.unavailable("bytes", "no plan includes it"),
    }
    file = {
        name: Figure(getattr(plan, name), "bytes", how, _basis(plan, name) if how == "predicted" else "")
        for name in FILE_PARTS
    }
    heap = {name: process[name] for name in HEAP_PARTS}
    uncounted = {
        name: figure.note for name, figure in process.items() if figure.value is None and name != UNACCOUNTED
    }
    return Account(
        file,
        _sum(file, how),
        process,
        _sum(process, how),
        _sum(heap, how),
        uncounted,
        firmware_account(plan, how),
    )


def account_of_measurement(measured: "Measurement", file_bytes: int) -> Account:
    """Make an account from a run.  A run shows only the size of the file, not its parts."""
    if not measured.peak:
        return missing_account(NO_PROCFS)
    no_parts = Figure.unavailable("bytes", "a run shows only the size of the file")
    parts = {
        "model file, mapped": measured.mapped,
        "weights and graph in heap": measured.loaded,
        KV_CACHE: measured.cache,
        "arenas": measured.arenas,
        "workspace": measured.workspace,
        LOADING: measured.loading,
        "runtime": measured.runtime,
    }
    # The difference is negative if pages of planned or allocated memory were never used.
    parts[UNACCOUNTED] = measured.peak - sum(parts.values())
    process = {name: Figure(value, "bytes", "measured") for name, value in parts.items()}
    heap = Figure(sum(parts[name] for name in HEAP_PARTS), "bytes", "measured")
    if not measured.heap_is_known:
        heap = Figure.unavailable("bytes", NO_MALLINFO)
        process |= dict.fromkeys((*HEAP_PARTS, UNACCOUNTED), heap)
    return Account(
        file=dict.fromkeys(FILE_PARTS, no_parts),
        file_total=Figure(file_bytes, "bytes", "measured"),
        process=process,
        process_total=Figure(measured.peak, "bytes", "measured", "peak of resident memory"),
        heap=heap,
    )


def account_of_emulation(measured: "Measurement", file_bytes: int, core: "EmulatedCore") -> Account:
    """Make an account from a run on an emulated core, without the emulator's memory."""
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
    mixed = Figure.unavailable("bytes", "the process also contains pages of the emulator")
    heap = sum(process.values()) - measured.mapped
    return Account(
        file=dict.fromkeys(FILE_PARTS, Figure.unavailable("bytes", "a run shows only the size of the file")),
        file_total=Figure(file_bytes, "bytes", "measured"),
        process=parts | {LOADING: mixed, "runtime": mixed, UNACCOUNTED: mixed},
        process_total=mixed,
        heap=Figure(heap, "bytes", "emulated", by),
    )


def account_of_net_measurement(measured: "NetMeasurement", file_bytes: int, why: str) -> Account:
    """Make an account from a run in a Python process, which shows only a total.

    Args:
        why: the reason why there is no native runner.
    """
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
        heap=nothing,
        uncounted={"runtime": "the Python process holds it before the model is loaded"},
    )


def missing_account(reason: str) -> Account:
    """An account without figures, for the given reason."""
    nothing = Figure.unavailable("bytes", reason)
    return Account(
        dict.fromkeys(FILE_PARTS, nothing), nothing, dict.fromkeys(PROCESS_PARTS, nothing), nothing, nothing
    )


def _basis(plan: MemoryPlan, name: str) -> str:
    return COUNTED if name in plan.counted else ESTIMATED


def _figure(value: int | None, how: Literal["planned", "predicted"], why_none: str = "") -> Figure:
    return Figure.unavailable("bytes", why_none) if value is None else Figure(value, "bytes", how)


def _sum(parts: Mapping[str, Figure], how: Literal["planned", "predicted"]) -> Figure:
    known = [figure.value for figure in parts.values() if figure.value is not None]
    missing = [name for name, figure in parts.items() if figure.value is None and name != UNACCOUNTED]
    return Figure(sum(known), "bytes", how, f"without {'; '.join(missing)}" if missing else "")
