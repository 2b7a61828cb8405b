"""The memory report of a model file: predicted, planned and measured."""

from dataclasses import dataclass, replace

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.device import Device
from nf_edge.core.device.processor import processor_for
from nf_edge.core.errors import MissingTool
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.memory.accounts import Account, missing_account
from nf_edge.measure.memory.context import context_memories, run_shape
from nf_edge.measure.memory.emulated import measure_emulated
from nf_edge.measure.memory.measure import measure, this_machine
from nf_edge.measure.memory.measured_account import (
    account_of_emulation,
    account_of_measurements,
    account_of_net_measurement,
)
from nf_edge.measure.memory.memory_report import MemoryReport
from nf_edge.measure.memory.plan_account import account_of_plan
from nf_edge.measure.memory.python_process import measure_in_python
from nf_edge.measure.memory.spread import Repeats


def profile_model(
    runnable: Runnable,
    device: Device | None,
    core: EmulatedCore | None = None,
    at: int | None = None,
    batch: int = 1,
) -> MemoryReport:
    """The memory report of a model file: predicted, planned, and measured in a run.

    Args:
        device: the device whose memory the file must fit, and whose processor the prediction is for; None
            gives no verdict, and predicts for `core` or this machine.
        core: the emulated core that runs the file; None is this machine, natively.
        at: tokens in the context; None: the longest context.
        batch: rows in one run.

    Raises:
        BadInput: the model file cannot be read or run, or it takes fewer than `at` tokens or `batch` rows.
        MissingTool: a tool that emulates the core is missing.
    """
    backend, config, input_shape = runnable.backend, runnable.config, runnable.input_shape
    processor = core.processor if core and not device else processor_for(device)
    run = run_shape(input_shape, at, batch)
    predicted, planned = (
        backend.at(plan, config, input_shape, runnable.recipe, run)
        for plan in (
            backend.predict(config, input_shape, runnable.recipe),
            backend.plan(runnable.file, config, input_shape),
        )
    )
    predicted = backend.on(predicted, config, input_shape, runnable.recipe, processor)
    measured = _measured(_resized(runnable, run), planned.cache or 0, core)
    accounts = [
        account_of_plan(predicted, backend.runtime_memory, "predicted"),
        account_of_plan(planned, backend.runtime_memory, "planned", predicted),
        measured.account,
    ]
    longest = replace(input_shape, rows=batch)
    layout = backend.layout(runnable.file, config, longest, runnable.recipe)
    contexts = context_memories(backend, config, input_shape, runnable.recipe, processor)
    return MemoryReport.of(
        accounts,
        runnable.recipe,
        input_shape,
        device,
        planned.notes,
        run,
        contexts,
        processor,
        measured.machine,
        measured.repeats,
        layout.completed(planned.weights + planned.embeddings),
    )


def _resized(runnable: Runnable, run: InputShape) -> Runnable:
    """The same file with inputs of the shape `run`; the length is unchanged if the file's is fixed."""
    if not runnable.backend.takes_fewer_tokens(runnable.input_shape):
        run = replace(run, length=runnable.input_shape.length)
    return replace(runnable, input_shape=run)


@dataclass(frozen=True)
class _Measured:
    """The account of a run, its machine ("" if nothing ran), and the spread of repeated runs."""

    account: Account
    machine: str = ""
    repeats: Repeats | None = None


def _measured(runnable: Runnable, cache: int, core: EmulatedCore | None) -> _Measured:
    """Run a model on `core` (None: this machine), and account for its memory.

    If only a simulator can run the file here, the account has no figures.

    Args:
        cache: bytes of the full cache.
    """
    size = runnable.file.stat().st_size
    if core is not None:
        account = account_of_emulation(measure_emulated(runnable, cache, core), size, core)
        version = core.emulator.version
        return _Measured(account, f"{core.name}, emulated as {core.cpu} by QEMU {version}, 1 thread")
    if simulated := runnable.backend.reference_executor:
        return _Measured(missing_account(f"this machine can only run it with {simulated}"))
    try:
        measured = measure(runnable, cache)
    except MissingTool as error:
        account = account_of_net_measurement(measure_in_python(runnable), size, f"{error.what} ({error.fix})")
        return _Measured(account, f"{this_machine()}, a Python process instead of the native runner")
    machine = f"{this_machine()}, {measured.threads} threads, native runner"
    return _Measured(account_of_measurements(measured, size), machine, Repeats.of(measured.runs))
