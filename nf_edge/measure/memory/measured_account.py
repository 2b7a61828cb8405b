"""The account of a run: in native processes, on an emulated core, or in a Python process."""

from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.core.figures import Figure, format_bytes
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.accounts import (
    FILE_PARTS,
    FREED,
    HEAP_PARTS,
    KINDS,
    NO_PROCFS,
    PROCESS_PARTS,
    UNACCOUNTED,
    Account,
    missing_account,
)
from nf_edge.measure.memory.emulated import HeapCounters
from nf_edge.measure.memory.measure import Measurements
from nf_edge.measure.memory.python_process import NetMeasurement

NO_MALLINFO = "its C library does not report the heap (glibc does, from 2.33 on)"
NO_TRIM = "this system's C library cannot return free heap, so it is a part of the weights and graph"
NO_FILE_PARTS = Figure.unavailable("bytes", "a run shows only the size of the file")


def account_of_measurements(measured: Measurements, file_bytes: int) -> Account:
    """Make an account from the process with the highest peak.

    A run shows only the size of the file, `file_bytes`, not the sizes of its parts.
    """
    run = measured.highest
    if not run.peak:
        return missing_account(NO_PROCFS)
    figure, freed = _measured, measured.freed or 0
    # A small cache lies in heap that loading freed.
    in_free_heap = min(max(0, -run.arenas), freed)
    process = {
        "model file, mapped": figure(run.mapped),
        "weights and graph in heap": figure(run.loaded - freed),
        FREED: Figure.unavailable("bytes", NO_TRIM)
        if measured.freed is None
        else figure(freed - in_free_heap),
        KV_CACHE: figure(run.cache),
        "arenas": figure(run.arenas + in_free_heap),
        "workspace": figure(run.workspace),
        "runtime": figure(run.runtime_private + run.runtime_shareable),
        UNACCOUNTED: figure(run.unaccounted),
    }
    heap = run.loaded + run.cache + run.arenas + run.workspace
    shared = run.mapped + run.runtime_shareable
    return Account(
        file=dict.fromkeys(FILE_PARTS, NO_FILE_PARTS),
        file_total=figure(file_bytes),
        process=process,
        steady=figure(run.steady, "peak of resident memory in the runs"),
        load_peak=figure(run.load_peak, "peak of resident memory until the model was loaded"),
        heap=figure(heap),
        kinds={
            "private": figure(run.steady - shared),
            "mapped": figure(run.mapped),
            "shareable": figure(run.runtime_shareable),
        },
    )


def account_of_emulation(heap: HeapCounters | None, file_bytes: int, core: EmulatedCore) -> Account:
    """Make an account from a run on an emulated core, without the emulator's memory.

    Args:
        heap: the bytes of the heap; None: unknown, so the account has no figures.
        file_bytes: bytes of the model file.
    """
    if heap is None:
        return missing_account(NO_MALLINFO)
    process = {
        "model file, mapped": heap.mapped,
        "weights and graph in heap": heap.loaded,
        KV_CACHE: heap.cache,
        "arenas": heap.arenas,
        "workspace": heap.workspace,
    }
    by = f"by QEMU {core.emulator.version}"
    mixed = Figure.unavailable("bytes", "the process also contains pages of the emulator")
    parts = {name: Figure(value, "bytes", "emulated", by) for name, value in process.items()}
    return Account(
        file=dict.fromkeys(FILE_PARTS, NO_FILE_PARTS),
        file_total=_measured(file_bytes),
        process=dict.fromkeys(PROCESS_PARTS, mixed) | parts,
        steady=mixed,
        load_peak=mixed,
        heap=Figure(sum(process[name] for name in HEAP_PARTS if name in process), "bytes", "emulated", by),
        kinds=dict.fromkeys(KINDS, mixed),
    )


def account_of_net_measurement(measured: NetMeasurement, file_bytes: int, why: str) -> Account:
    """Make an account from a run in a Python process, which shows only a total.

    Args:
        file_bytes: bytes of the model file.
        why: the reason why there is no native runner.
    """
    if not measured.baseline:
        return missing_account(NO_PROCFS)
    nothing = Figure.unavailable(
        "bytes", f"measured in a Python process, which shows only totals, because {why}"
    )
    note = f"on top of the {format_bytes(measured.baseline)} of a Python process with the runtime in it"
    return Account(
        file=dict.fromkeys(FILE_PARTS, nothing),
        file_total=_measured(file_bytes),
        process=dict.fromkeys(PROCESS_PARTS, nothing),
        steady=_measured(measured.net_peak, f"{note}; the peak of loading is included"),
        load_peak=nothing,
        heap=nothing,
        kinds=dict.fromkeys(KINDS, nothing),
        uncounted={"runtime": "the Python process holds it before the model is loaded"},
    )


def _measured(value: int, note: str = "") -> Figure:
    return Figure(value, "bytes", "measured", note)
