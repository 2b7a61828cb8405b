"""Where in a program a core begins to compute other numbers than this machine."""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nf_edge.backends.base import Backend
from nf_edge.backends.executorch.program_file import read_program
from nf_edge.core.staging import scratch_folder
from nf_edge.core.strict_json import number
from nf_edge.measure.emulation.cores import EmulatedCore
from nf_edge.measure.runner import Request, native_command, run_command

# The header of an output in a trace (runner/native/trace.h).
HEADER = np.dtype([("chain", "<i4"), ("instruction", "<i4"), ("count", "<i8")])
# A difference, as a share of the largest number of an output, that no order of summing up explains.
FAR = 0.01


@dataclass(frozen=True)
class Beginning:
    """The first instruction of which an output is far off.

    Attributes:
        operator: what it calls: an operator's name, or a delegate's and which of its calls that is.
        instruction, instructions: its place among those of the program.
        off: by how much, as a share of the largest number.
        before: the most that anything was off before it.
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
            f"the difference begins at {self.operator} (instruction {self.instruction} of "
            f"{self.instructions}): {100 * self.off:.3g} % of the largest number, and at most "
            f"{100 * self.before:.2g} % before it"
        )


def beginning(core: EmulatedCore, backend: Backend, model: Path, request: Request) -> Beginning | None:
    """Run a `.pte` here and as a core, and compare what each instruction gives; None where nothing is far
    off.

    Raises what running it does.
    """
    here = native_command(backend.runtime, model, 1, backend.operators_file())
    with scratch_folder() as scratch:
        traces = [scratch / name for name in ("here", "there")]
        for command, trace in zip((here, core.command(backend, model)), traces, strict=True):
            run_command([*command, "--trace", str(trace)], model, [request])
        before = 0.0
        for (place, mine), (_, theirs) in zip(*map(_outputs, traces), strict=True):
            off = _off(theirs, mine)
            if off > FAR:
                return _named(model, place, off, before)
            before = max(before, off)
    return None


def _outputs(trace: Path) -> Iterator[tuple[int, np.ndarray]]:
    """The instruction of each output, and its numbers."""
    content, at = trace.read_bytes(), 0
    while at < len(content):
        (header,) = np.frombuffer(content, HEADER, 1, at)
        at += HEADER.itemsize
        count = int(header["count"])
        yield int(header["instruction"]), np.frombuffer(content, "<f4", count, at)
        at += 4 * count


def _off(theirs: np.ndarray, mine: np.ndarray) -> float:
    """The largest difference as a share of the largest number; masks may be infinite on both sides."""
    same = theirs == mine
    if same.all():
        return 0.0
    difference = np.abs(theirs[~same] - mine[~same]).max()
    largest = np.abs(mine[np.isfinite(mine)]).max(initial=0.0)
    off = float(difference / largest) if largest else math.inf
    return math.inf if math.isnan(off) else off


def _named(model: Path, instruction: int, off: float, before: float) -> Beginning:
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
    return Beginning(operator, instruction, len(instructions), off, before)
