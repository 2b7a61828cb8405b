"""The instructions of a `.pte`, one after the other, with PyTorch's functions in place of kernels: for programs
whose runtime this machine does not have."""

import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.executorch_file import read_program
from nf_edge.quiet import quiet_libraries, quiet_stderr

# ExecuTorch's names.
DTYPES = {
    "LONG": torch.int64,
    "INT": torch.int32,
    "CHAR": torch.int8,
    "BYTE": torch.uint8,
    "FLOAT": torch.float32,
}
# Operators of ExecuTorch alone: they cast, or change a shape.
RESHAPED = {"dim_order_ops::_to_dim_order_copy", "executorch_prim::et_view"}
# Tensors that are given to a delegate and the shapes of those it gives → those.
Delegate = Callable[[list[Tensor], list[list[int]]], list[Tensor]]


class Interpreter:
    """The first method of a program.

    Args:
        delegate: what runs its delegates, where it has any.

    Raises:
        BadInput: the file cannot be read.
    """

    def __init__(self, path: Path, delegate: Delegate | None = None) -> None:
        with quiet_libraries(), quiet_stderr():
            import executorch.kernels.quantized  # noqa: F401  (registers quantized_decomposed::*)
        self._program = read_program(path, path.read_bytes()).program
        self._method = self._program.execution_plan[0]
        self._delegate = delegate

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
                self._delegated(call.args, values)
        return np.asarray(values[self._method.outputs[0]].numpy())

    def _kernel(self, operator: Any, arguments: list[int], values: dict[int, Any]) -> None:
        if operator.name in RESHAPED:
            # The output says what becomes of the input.
            output = self._method.values[arguments[-1]].val
            tensor = self._value(arguments[0], values).reshape(output.sizes)
            values[arguments[-1]] = values[arguments[-2]] = tensor.to(DTYPES[output.scalar_type.name])
            return
        function = _functional(operator.name, operator.overload)
        schema = function._schema.arguments
        pairs = [
            (argument, self._value(index, values)) for argument, index in zip(schema, arguments, strict=False)
        ]
        result = function(
            *(value for argument, value in pairs if not argument.kwarg_only),
            **{argument.name: value for argument, value in pairs if argument.kwarg_only},
        )
        # The outputs, and once more as what is returned, which of several is the list of them.
        results = result if isinstance(result, tuple) else (result, result)
        values.update(zip(arguments[len(schema) :], results, strict=False))

    def _delegated(self, arguments: list[int], values: dict[int, Any]) -> None:
        if self._delegate is None:
            raise RuntimeError("the program has a delegate, and nothing to run it")
        outputs = [index for index in arguments if index not in values]
        shapes = [self._method.values[index].val.sizes for index in outputs]
        found = self._delegate([values[index] for index in arguments if index in values], shapes)
        values.update(zip(outputs, found, strict=True))

    def _value(self, index: int, values: dict[int, Any]) -> Any:
        """What an argument is: found already, or written in the file."""
        if index in values:
            return values[index]
        value = self._method.values[index].val
        kind = type(value).__name__
        if kind == "Tensor":
            values[index] = self._tensor(value)
            return values[index]
        if kind == "Null":
            return None
        if kind in ("IntList", "OptionalTensorList", "TensorList"):
            return [self._value(item, values) if item >= 0 else None for item in value.items]
        if kind in ("BoolList", "DoubleList"):
            return list(value.items)
        (content,) = vars(value).values()
        return content

    def _tensor(self, value: Any) -> Tensor:
        dtype = DTYPES[value.scalar_type.name]
        if value.allocation_info is not None:
            # Nothing wrote to it: room that a kernel works in.
            return torch.empty(value.sizes, dtype=dtype)
        storage = self._program.constant_buffer[value.data_buffer_idx].storage
        # The file pads it.
        flat = torch.frombuffer(bytearray(storage), dtype=dtype, count=math.prod(value.sizes))
        return flat.reshape(value.sizes)


@lru_cache
def _functional(name: str, overload: str) -> Any:
    """The operator that gives what another one, which a program calls, writes to its last argument."""
    namespace, base = name.split("::")
    packet = getattr(getattr(torch.ops, namespace), base)
    wanted = _signature(getattr(packet, overload or "default"))
    found = (getattr(packet, other) for other in packet.overloads())
    return next(function for function in found if _signature(function) == wanted and not _writes(function))


def _signature(function: Any) -> list[tuple[str, str]]:
    arguments = function._schema.arguments
    return [(argument.name, str(argument.type)) for argument in arguments if not argument.is_write]


def _writes(function: Any) -> bool:
    return any(argument.is_write for argument in function._schema.arguments)
