"""Find the first instruction of a program whose outputs differ between a core and this machine."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nf_edge.backends.executorch.program_file import read_program
from nf_edge.backends.runnable import Runnable
from nf_edge.core.staging import scratch_folder
from nf_edge.core.strict_json import number
from nf_edge.measure.emulation.cores import EmulatedCore
from nf_edge.measure.runner import Request, command_for, run_command

# The header of an output in a trace (runner/native/trace.h).
HEADER = np.dtype([("chain", "<i4"), ("instruction", "<i4"), ("count", "<i8")])
# A difference above this share of an output's largest number is too large for a change of summation order.
FAR = 0.01


@dataclass(frozen=True)
class FirstDivergence:
    """The first instruction with an output that differs by more than 1 % of its largest number.

    Attributes:
        operator: the called operator; for a delegate, its id and the number of the call.
        instruction: index of the instruction.
        instructions: number of instructions in the program.
        off: the output's largest difference / its largest number.
        before: the largest such ratio among the outputs of earlier instructions.
    """

    operator: str
    instruction: int
    instructions: int
    off: float
    before: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"off": number(self.off), "before": number(self.before)}

    def __str__(self) -> str:
        return (
            f"the first large difference is at {self.operator} (instruction {self.instruction} of "
            f"{self.instructions}): {100 * self.off:.3g} % of the largest number, and at most "
            f"{100 * self.before:.2g} % before it"
        )


def first_divergence(core: EmulatedCore, runnable: Runnable, request: Request) -> FirstDivergence | None:
    """Run a `.pte` on this machine and on a core, and compare the outputs of each instruction.

    Args:
        request: the inputs of the run.

    Returns:
        The first divergence; None if no output differs by more than 1 % of its largest number.

    Raises:
        NfEdgeError: the model cannot be loaded, or a runner crashed or took too long.
    """
    model = runnable.file
    with scratch_folder() as scratch:
        traces = [scratch / name for name in ("local", "remote")]
        commands = command_for(runnable, 1), core.command(runnable)
        for command, trace in zip(commands, traces, strict=True):
            run_command([*command, "--trace", str(trace)], model, [request])
        before = 0.0
        for (instruction, local), (_, remote) in zip(*map(_outputs, traces), strict=True):
            off = _difference(remote, local)
            if off > FAR:
                return _named(model, instruction, off, before)
            before = max(before, off)
    return None


def _outputs(trace: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the instruction's index and the float32 numbers of each output in a trace file."""
    content, at = trace.read_bytes(), 0
    while at < len(content):
        (header,) = np.frombuffer(content, HEADER, 1, at)
        at += HEADER.itemsize
        count = int(header["count"])
        yield int(header["instruction"]), np.frombuffer(content, "<f4", count, at)
        at += 4 * count


def _difference(remote: np.ndarray, local: np.ndarray) -> float:
    """The largest difference of two outputs, as a share of the largest finite number in `local`.

    Equal numbers, even infinite ones in masks, have no difference.
    """
    same = remote == local
    if same.all():
        return 0.0
    difference = np.abs(remote[~same] - local[~same]).max()
    largest = np.abs(local[np.isfinite(local)]).max(initial=0.0)
    off = float(difference / largest) if largest else math.inf
    return math.inf if math.isnan(off) else off


def _named(model: Path, instruction: int, off: float, before: float) -> FirstDivergence:
    """The `FirstDivergence` at an instruction, with the name of its operator or delegate from the model file.

    Args:
        instruction: index of the instruction.
        off, before: as in `FirstDivergence`.
    """
    method = read_program(model, model.read_bytes()).program.execution_plan[0]
    instructions = method.chains[0].instructions
    call = instructions[instruction].instr_args
    if hasattr(call, "op_index"):
        operator = f"operator {method.operators[call.op_index].name}"
    else:
        calls = [one for one in instructions if hasattr(one.instr_args, "delegate_index")]
        number = calls.index(instructions[instruction]) + 1
        name = method.delegates[call.delegate_index].id
        operator = f"delegate {name}, call {number} of {len(calls)}"
    return FirstDivergence(operator, instruction, len(instructions), off, before)
