"""`nf-edge profile`: the three accounts of memory, and their comparison with a device's memory."""

from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.device import Device
from nf_edge.core.errors import MissingTool
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.accounts import (
    FILE_PARTS,
    KV_CACHE,
    PROCESS_PARTS,
    Account,
    account_of_emulation,
    account_of_measurement,
    account_of_net_measurement,
    account_of_plan,
    missing_account,
)
from nf_edge.measure.memory.measure import measure, this_machine
from nf_edge.measure.memory.memory_report import MemoryPart, MemoryReport
from nf_edge.measure.memory.python_process import measure_in_python
from nf_edge.measure.memory.verdict import judge
from nf_edge.model import ModelConfig


def predict_memory(
    backend: Backend, config: ModelConfig, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The memory report of a checkpoint without an artifact: only predicted figures.

    Raises:
        BadInput: the recipe's length exceeds the model's positions.
    """
    input_shape = InputShape.of(recipe, config)
    predicted = backend.predict(config, input_shape, recipe)
    accounts = [
        account_of_plan(predicted, backend.process_bytes, "predicted"),
        missing_account("there is no artifact yet"),
        missing_account("there is no artifact yet"),
    ]
    return _report(accounts, recipe, input_shape, device, "", predicted.notes)


def profile_model(
    runnable: Runnable, device: Device | None, core: EmulatedCore | None = None
) -> MemoryReport:
    """The memory report of a model file: predicted, planned, and measured in a run.

    Args:
        device: the device whose memory the file must fit; None gives no verdict.
        core: the emulated core that runs the file; None is this machine, natively.

    Raises:
        BadInput: the model file cannot be read or run.
        MissingTool: a tool that emulates the core is missing.
    """
    backend, config, input_shape = runnable.backend, runnable.config, runnable.input_shape
    predicted = backend.predict(config, input_shape, runnable.recipe)
    planned = backend.plan(runnable.file, config, input_shape)
    measured, machine = _measured(runnable, planned.cache or 0, core)
    accounts = [
        account_of_plan(predicted, backend.process_bytes, "predicted"),
        account_of_plan(planned, backend.process_bytes, "planned"),
        measured,
    ]
    return _report(accounts, runnable.recipe, input_shape, device, machine, planned.notes)


def _measured(runnable: Runnable, cache: int, core: EmulatedCore | None) -> tuple[Account, str]:
    """The account of a run, and a description of the machine; the description is "" if nothing ran.

    Args:
        cache: bytes of the full cache.
    """
    size = runnable.file.stat().st_size
    if core is not None:
        machine = f"{core.name}, emulated as {core.cpu} by QEMU {core.emulator.version}, 1 thread"
        return account_of_emulation(measure(runnable, cache, core), size, core), machine
    if simulated := runnable.backend.reference_executor:
        return missing_account(f"this machine can only run it with {simulated}"), ""
    try:
        measurement = measure(runnable, cache)
    except MissingTool as error:
        account = account_of_net_measurement(measure_in_python(runnable), size, f"{error.what} ({error.fix})")
        return account, f"{this_machine()}, a Python process instead of the native runner"
    machine = f"{this_machine()}, {measurement.threads} threads, native runner"
    return account_of_measurement(measurement, size), machine


def _report(
    accounts: list[Account],
    recipe: Recipe,
    input_shape: InputShape,
    device: Device | None,
    machine: str,
    notes: tuple[str, ...],
) -> MemoryReport:
    parts = [name for name in PROCESS_PARTS if input_shape.cached or name != KV_CACHE]
    return MemoryReport(
        file=tuple(MemoryPart(name, *(account.file[name] for account in accounts)) for name in FILE_PARTS),
        file_total=MemoryPart("file", *(account.file_total for account in accounts)),
        process=tuple(MemoryPart(name, *(account.process[name] for account in accounts)) for name in parts),
        process_total=MemoryPart("process", *(account.process_total for account in accounts)),
        machine=machine,
        notes=notes,
        verdict=judge(device, recipe, accounts) if device else None,
    )
