"""The outputs of a `.pte`'s instructions, recorded by ExecuTorch's event tracer.

A delegate is one instruction, so the layers inside it are not recorded.  The file does not name layers.  But
the quantized program in PyTorch computes the same numbers up to rounding.  So a layer belongs to the
instruction whose output is nearest to the layer's output in PyTorch.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.executorch.program_file import read_program
from nf_edge.backends.taps import Taps
from nf_edge.core.quiet import quiet_libraries, quiet_stderr
from nf_edge.core.staging import scratch_folder

# Largest noise, as a share of the signal, of an instruction that computes the same tensor as the program.
NEAR = 0.01
# Bytes of the buffer for outputs, in addition to the outputs themselves: the tracer aligns each of them.
ALIGNED = 64
# An instruction and the number of its output.
Output = tuple[int, int]


class TracedFile:
    """A `.pte` whose instructions' outputs can be read as outputs of layers.

    Args:
        file: the artifact's file.
        again: the file from lowering the program again; one run of this file finds each layer's instruction.
        inputs: the inputs of that run.
        taps: the outputs of the layers in PyTorch for these inputs, by name.
    """

    through = "the artifact's file, by ExecuTorch's event tracer"

    def __init__(
        self, file: Path, again: Path, inputs: tuple[Tensor, ...], taps: Mapping[str, Tensor]
    ) -> None:
        self._file = file
        self._outputs = matched(_outputs(again, inputs), taps)

    def run(self, inputs: tuple[Tensor, ...]) -> Taps:
        """Run the artifact's file, and return the outputs of the matched layers by name."""
        return self.of(self._file, inputs)

    def of(self, file: Path, inputs: tuple[Tensor, ...]) -> Taps:
        """Run any file of the same program, and return the outputs of the matched layers by name."""
        outputs = _outputs(file, inputs)
        return {name: outputs[output] for name, output in self._outputs.items() if output in outputs}


def matched(outputs: Mapping[Output, Tensor], taps: Mapping[str, Tensor]) -> dict[str, Output]:
    """Map layers to the instructions with the nearest outputs; layers without a near output are left out.

    An instruction belongs only to the layer nearest to it.  Otherwise a sum that one term dominates would
    also belong to that term.
    """
    nearest: dict[str, tuple[float, Output]] = {}
    for output, tensor in outputs.items():
        same_size = [(name, value) for name, value in taps.items() if value.numel() == tensor.numel()]
        noises = [(_noise(tensor, value), name) for name, value in same_size]
        noise, name = min(noises, default=(math.inf, ""))
        if noise <= NEAR and noise < nearest.get(name, (math.inf,))[0]:
            nearest[name] = noise, output
    return {name: output for name, (_, output) in nearest.items()}


def _noise(tensor: Tensor, value: Tensor) -> float:
    """The squared error of a tensor against a layer's output `value`, as a share of the squared output."""
    expected = value.double().flatten()
    noise = float((tensor.double().flatten() - expected).square().sum())
    return noise / (float(expected.square().sum()) or 1.0)


def _outputs(path: Path, inputs: tuple[Tensor, ...]) -> dict[Output, Tensor]:
    """The float32 outputs of all instructions in one run, in order."""
    from executorch.devtools.etdump.serialize import deserialize_from_etdump_flatcc
    from executorch.extension.pybindings.portable_lib import _load_for_executorch

    with quiet_libraries(), quiet_stderr(), scratch_folder() as folder:
        module = _load_for_executorch(str(path), enable_etdump=True, debug_buffer_size=_buffer_bytes(path))
        module.forward([tensor.contiguous() for tensor in inputs])
        events, values = folder / "events", folder / "values"
        module.write_etdump_result_to_file(str(events), str(values))
        dump, content = deserialize_from_etdump_flatcc(events.read_bytes()), values.read_bytes()
    outputs: dict[Output, Tensor] = {}
    counts: dict[int, int] = {}
    recorded = (event.debug_event for run in dump.run_data for event in run.events if event.debug_event)
    for event in recorded:
        for tensor in _tensors(event.debug_entry):
            number = counts.get(event.instruction_id, 0)
            counts[event.instruction_id] = number + 1
            if tensor.scalar_type.name == "FLOAT" and tensor.sizes:
                size = math.prod(tensor.sizes)
                data = np.frombuffer(content, "<f4", size, tensor.offset).reshape(tensor.sizes)
                outputs[event.instruction_id, number] = torch.from_numpy(data.copy())
    return outputs


def _tensors(entry: Any) -> list[Any]:
    if entry.tensor_list is not None:
        return list(entry.tensor_list.tensors)
    return [] if entry.tensor is None else [entry.tensor]


def _buffer_bytes(path: Path) -> int:
    """An upper bound of the bytes of all recorded outputs, from the planned tensors of all instructions."""
    method = read_program(path, path.read_bytes()).program.execution_plan[0]
    total = 0
    for instruction in method.chains[0].instructions:
        for index in getattr(instruction.instr_args, "args", ()):
            value = method.values[index].val
            members = getattr(value, "items", None) if type(value).__name__ == "TensorList" else [index]
            for member in members or ():
                tensor = method.values[member].val
                if getattr(tensor, "allocation_info", None) is not None:
                    total += 8 * math.prod(tensor.sizes) + ALIGNED
    return total
