"""A `.pte` with an Ethos-U delegate, run on this machine: the host's operators by PyTorch, the delegate's
integers by Arm's TOSA reference model.

The reference model is given the graph that Vela was given, so its numbers are those before Vela, which keeps
them bit by bit where Arm's own tests hold.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.executorch_file import read_program
from nf_edge.errors import BadInput
from nf_edge.quiet import quiet_libraries, quiet_stderr

GRAPH = "npu.tosa"
WHAT = "Arm's TOSA reference model (simulated, before Vela)"


class SimulatedSession:
    """The program of a file, and the graph beside it.

    Raises:
        BadInput: either cannot be read.
    """

    def __init__(self, path: Path) -> None:
        graph = path.with_name(GRAPH)
        if not graph.is_file():
            raise BadInput(
                f"is missing; without the graph of the NPU nothing on this machine can run {path.name}",
                where=graph,
                fix="export it again",
            )
        self._graph = graph.read_bytes()
        with quiet_libraries(), quiet_stderr():
            import executorch.kernels.quantized  # noqa: F401  (registers quantized_decomposed::*)
        self._program = read_program(path, path.read_bytes()).program
        self._method = self._program.execution_plan[0]

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """int64 [1, T], int64 [1, T] → float32 logits."""
        values: dict[int, Any] = {}
        given = (input_ids, attention_mask)
        for index, array in zip(self._method.inputs, given, strict=True):
            values[index] = torch.from_numpy(np.ascontiguousarray(array, dtype=np.int64))
        (chain,) = self._method.chains
        for instruction in chain.instructions:
            call = instruction.instr_args
            if hasattr(call, "op_index"):
                self._kernel(self._method.operators[call.op_index], call.args, values)
            elif hasattr(call, "delegate_index"):
                self._delegate(call.args, values)
        return np.asarray(values[self._method.outputs[0]].numpy())

    def _kernel(self, operator: Any, arguments: list[int], values: dict[int, Any]) -> None:
        namespace, name = operator.name.split("::")
        function = getattr(getattr(getattr(torch.ops, namespace), name), operator.overload or "default")
        schema = function._schema.arguments
        given = [self._value(index, values) for index in arguments[: len(schema)]]
        pairs = list(zip(schema, given, strict=True))
        result = function(
            *(value for argument, value in pairs if not argument.kwarg_only),
            **{argument.name: value for argument, value in pairs if argument.kwarg_only},
        )
        for index in arguments[len(schema) :]:
            values[index] = result

    def _delegate(self, arguments: list[int], values: dict[int, Any]) -> None:
        import tosa_reference_model

        produced = self._produced(values)
        inputs = [self._value(index, values) for index in arguments if index in produced]
        outputs = [index for index in arguments if index not in produced]
        found, status = tosa_reference_model.run(
            self._graph, [tensor.numpy() for tensor in inputs], verbosity="NONE"
        )
        if status != tosa_reference_model.GraphStatus.TOSA_VALID:
            raise RuntimeError(f"the reference model calls the graph {status}")
        for index, array in zip(outputs, found, strict=True):
            values[index] = torch.from_numpy(array).reshape(self._method.values[index].val.sizes)

    def _produced(self, values: dict[int, Any]) -> set[int]:
        return set(values)

    def _value(self, index: int, values: dict[int, Any]) -> Any:
        """What an argument is: found already, or written in the file; an output, room for it."""
        if index in values:
            return values[index]
        value = self._method.values[index].val
        kind = type(value).__name__
        if kind == "Tensor":
            dtype = getattr(torch, value.scalar_type.name.lower(), None) or DTYPES[value.scalar_type.name]
            values[index] = self._constant(value, dtype)
            return values[index]
        if kind == "Null":
            return None
        if kind in ("IntList", "OptionalTensorList", "TensorList"):
            return [self._value(item, values) if item >= 0 else None for item in value.items]
        if kind in ("BoolList", "DoubleList"):
            return list(value.items)
        (content,) = vars(value).values()
        return content

    def _constant(self, value: Any, dtype: torch.dtype) -> Tensor:
        storage = self._program.constant_buffer[value.data_buffer_idx].storage
        if not value.data_buffer_idx or value.allocation_info is not None:
            return torch.empty(value.sizes, dtype=dtype)
        return torch.frombuffer(bytearray(storage), dtype=dtype).reshape(value.sizes)


DTYPES = {"LONG": torch.int64, "INT": torch.int32, "CHAR": torch.int8, "BYTE": torch.uint8}
