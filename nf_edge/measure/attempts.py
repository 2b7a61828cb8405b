"""Attempts to load a model file in each way that this machine supports."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from nf_edge.backends.runnable import Runnable
from nf_edge.core.errors import NfEdgeError
from nf_edge.measure.emulation import EmulatedCore
from nf_edge.measure.runner import command_for, run_command


@dataclass(frozen=True)
class Load:
    """An attempt to load the model file.

    Attributes:
        where: the runtime, and the core or simulator that ran it.
        problem: the error; "" if the file loaded.
    """

    where: str
    problem: str


def loads_of(runnable: Runnable, cores: Sequence[EmulatedCore]) -> tuple[Load, ...]:
    """Load a model file with its runtime in Python, with the native runner, and on each emulated core.

    A file that this machine cannot run is loaded in its simulator instead.
    """
    backend = runnable.backend
    loads = [Load(backend.reference_executor or f"{backend.runtime} in Python", _problem(runnable.load))]
    if not backend.reference_executor:
        native = partial(_start, runnable, command_for)
        loads.append(Load(f"{backend.runtime} natively", _problem(native)))
    for core in cores:
        where = f"{backend.runtime} on {core.name}, emulated as {core.cpu} by QEMU {core.emulator.version}"
        loads.append(Load(where, _problem(partial(_start, runnable, core.command))))
    return tuple(loads)


def _start(runnable: Runnable, command_of: Callable[[Runnable], list[str]]) -> None:
    """Start a runner process that only loads the file.

    Args:
        command_of: function that returns the command of the process.
    """
    run_command(command_of(runnable), runnable.file, [])


def _problem(load: Callable[[], object]) -> str:
    """Call `load`, and return the message of its NfEdgeError; "" if it raises none."""
    try:
        load()
    except NfEdgeError as error:
        return str(error)
    return ""
