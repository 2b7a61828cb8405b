"""The account of a memory plan: predicted from the checkpoint, or planned by the file."""

from typing import Literal

from nf_edge.backends.input_shape import KV_CACHE
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.core.figures import Figure
from nf_edge.measure.memory.accounts import (
    COUNTED,
    ESTIMATED,
    FILE_PARTS,
    FREED,
    HEAP_PARTS,
    UNACCOUNTED,
    Account,
    sum_of,
)
from nf_edge.measure.memory.firmware_account import firmware_account

PlanKind = Literal["planned", "predicted"]
LATE = "the runtime decides it at run time"
# The field of MemoryPlan that has a part of the process.
FIELDS = {
    "model file, mapped": "mapped",
    "weights and graph in heap": "loaded",
    FREED: "freed",
    KV_CACHE: "cache",
    "arenas": "arenas",
    "workspace": "workspace",
}
TAKEN_OVER = "predicted, because the file does not contain it"


def account_of_plan(
    plan: MemoryPlan,
    runtime_memory: RuntimeMemory,
    how: PlanKind,
    predicted: MemoryPlan | None = None,
) -> Account:
    """Make an account from a plan.

    Args:
        how: whether the plan is read from a file or predicted.
        predicted: the prediction, for the parts that a file's plan does not know.
    """
    parts = {name: _part(plan, attribute, how, predicted) for name, attribute in FIELDS.items()}
    runtime = (
        Figure.unavailable("bytes", "this machine cannot measure the runtime's memory on this kind of device")
        if runtime_memory.total is None
        else Figure(runtime_memory.total, "bytes", how, "libraries and start-up, as measured on x86-64 Linux")
    )
    at_load = runtime_memory.total if runtime_memory.at_load is None else runtime_memory.at_load
    process = parts | {"runtime": runtime, UNACCOUNTED: Figure.unavailable("bytes", "no plan includes it")}
    file = {
        name: Figure(getattr(plan, name), "bytes", how, _basis(plan, name) if how == "predicted" else "")
        for name in FILE_PARTS
    }
    heap = {name: process[name] for name in HEAP_PARTS}
    loading = {"loading": _part(plan, "load_peak", how, predicted), "runtime": _share(runtime, at_load or 0)}
    phases = process | {"load peak": loading["loading"]}
    uncounted = {
        name: figure.note for name, figure in phases.items() if figure.value is None and name != UNACCOUNTED
    }
    return Account(
        file=file,
        file_total=sum_of(file, how),
        process=process,
        steady=_total(process, how),
        load_peak=loading["loading"] if loading["loading"].value is None else _total(loading, how),
        heap=_total(heap, how),
        kinds={
            "private": _total(heap | {"runtime": _share(runtime, runtime_memory.private)}, how),
            "mapped": process["model file, mapped"],
            "shareable": _share(runtime, (runtime_memory.total or 0) - runtime_memory.private),
        },
        uncounted=uncounted,
        firmware=firmware_account(plan, how),
    )


def _basis(plan: MemoryPlan, name: str) -> str:
    return COUNTED if name in plan.counted else ESTIMATED


def _part(plan: MemoryPlan, attribute: str, how: PlanKind, predicted: MemoryPlan | None) -> Figure:
    value = getattr(plan, attribute)
    if value is not None:
        return Figure(value, "bytes", how)
    instead = getattr(predicted, attribute, None)
    if instead is not None:
        return Figure(instead, "bytes", "predicted", TAKEN_OVER)
    reason = "nothing predicts the peak of loading for this backend" if attribute == "load_peak" else LATE
    return Figure.unavailable("bytes", reason)


def _share(runtime: Figure, value: int) -> Figure:
    """A part of the runtime's memory as a figure; unavailable if the figure `runtime` is.

    Args:
        runtime: the runtime's memory, whose origin and note apply to the part.
        value: bytes of the part.
    """
    return runtime if runtime.value is None else Figure(value, "bytes", runtime.how, runtime.note)


def _total(parts: dict[str, Figure], how: PlanKind) -> Figure:
    """The sum of parts; its note names the parts that are unknown or, in a planned total, predicted."""
    total = sum_of(parts, how)
    taken = [name for name, figure in parts.items() if figure.note == TAKEN_OVER]
    notes = [note for note in (total.note, f"with predicted {'; '.join(taken)}" if taken else "") if note]
    return Figure(total.value, "bytes", how, ", ".join(notes))
