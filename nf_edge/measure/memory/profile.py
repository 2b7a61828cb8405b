"""`profile`: the three accounts together, against a device."""

from pathlib import Path

from nf_edge.backends.base import Backend
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
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
from nf_edge.measure.memory.measure import measure, spread_ids, this_machine
from nf_edge.measure.memory.memory_report import MemoryPart, MemoryReport
from nf_edge.measure.memory.python_process import measure_in_python
from nf_edge.measure.memory.verdict import judge
from nf_edge.model import ModelConfig


def predict_memory(
    backend: Backend, config: ModelConfig, input_shape: InputShape, recipe: Recipe, device: Device | None
) -> MemoryReport:
    """The report of a checkpoint that has not been exported: predicted only."""
    predicted = backend.predict(config, input_shape, recipe)
    accounts = [
        account_of_plan(predicted, backend.process_bytes, "predicted"),
        missing_account("there is no artifact yet"),
        missing_account("there is no artifact yet"),
    ]
    return _report(accounts, recipe, input_shape, device, "", predicted.notes)


def profile_model(
    backend: Backend,
    model: Path,
    config: ModelConfig,
    input_shape: InputShape,
    recipe: Recipe,
    device: Device | None,
    core: EmulatedCore | None = None,
) -> MemoryReport:
    """The report of a model file: predicted, planned, and measured by running it natively here.

    Args:
        core: to run it as, emulated, instead.

    Raises:
        BadInput: the model file cannot be read or run.
        MissingTool: what emulates the core is not here.
    """
    predicted, planned = (
        backend.predict(config, input_shape, recipe),
        backend.plan(model, config, input_shape),
    )
    machine = ""
    if core is not None:
        as_core = measure(backend, model, input_shape, config.vocab_size, planned.cache or 0, core)
        accounts = [
            *_plans(backend, predicted, planned),
            account_of_emulation(as_core, model.stat().st_size, core),
        ]
        machine = f"{core.name}, emulated as {core.cpu} by QEMU {core.emulator.version}, 1 thread"
        return _report(accounts, recipe, input_shape, device, machine, planned.notes)
    if backend.reference_executor:
        measured = missing_account(f"nothing on this machine runs it but {backend.reference_executor}")
        return _report(
            [*_plans(backend, predicted, planned), measured], recipe, input_shape, device, "", planned.notes
        )
    try:
        measurement = measure(backend, model, input_shape, config.vocab_size, planned.cache or 0)
        measured = account_of_measurement(measurement, model.stat().st_size)
        machine = f"{this_machine()}, {measurement.threads} threads, native runner"
    except MissingTool as error:
        net = measure_in_python(
            backend.name, model, input_shape, spread_ids(config.vocab_size, input_shape.length)
        )
        measured = account_of_net_measurement(net, model.stat().st_size, f"{error.what} ({error.fix})")
        machine = f"{this_machine()}, a Python process for want of the native runner"
    accounts = [*_plans(backend, predicted, planned), measured]
    return _report(accounts, recipe, input_shape, device, machine, planned.notes)


def _plans(backend: Backend, predicted: MemoryPlan, planned: MemoryPlan) -> list[Account]:
    return [
        account_of_plan(predicted, backend.process_bytes, "predicted"),
        account_of_plan(planned, backend.process_bytes, "planned"),
    ]


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
