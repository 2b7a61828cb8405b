"""An interpreter for a `.pte`, for programs without a runtime on this machine.

PyTorch functions execute the instructions one after the other.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.executorch.program_file import read_program
from nf_edge.core.quiet import quiet_libraries, quiet_stderr

# ExecuTorch's names of dtypes.
DTYPES = {
    "LONG": torch.int64,
    "SHORT": torch.int16,
    "INT": torch.int32,
    "CHAR": torch.int8,
    "BYTE": torch.uint8,
    "FLOAT": torch.float32,
    "BOOL": torch.bool,
}
# Operators that exist only in ExecuTorch; they cast a tensor or change its shape.
RESHAPED = {"dim_order_ops::_to_dim_order_copy", "executorch_prim::et_view"}
# A function that executes a delegate: input tensors → output tensor.
Delegate = Callable[[list[Tensor]], Tensor]


class Interpreter:
    """Runs the first method of a program.

    Tensors are placed in arenas as the program plans, because tensors with different shapes may share memory.

    Args:
        delegate: a function that executes the program's delegates; None if the program has none.
        kernels: replacements for operators, by name.  They have PyTorch's signature.
        watch: a function that is called with each tensor that an operator reads (also constants) or writes.

    Raises:
        BadInput: the file cannot be read.
    """

    def __init__(
        self,
        path: Path,
        delegate: Delegate | None = None,
        kernels: Mapping[str, Callable[..., Tensor]] = MappingProxyType({}),
        watch: Callable[[Tensor], None] = lambda values: None,
    ) -> None:
        with quiet_libraries(), quiet_stderr():
            import executorch.kernels.quantized  # noqa: F401  (registers quantized_decomposed::*)
        self._program = read_program(path, path.read_bytes()).program
        self._method = self._program.execution_plan[0]
        self._delegate, self._kernels, self._watch = delegate, kernels, watch
        self._arenas = [torch.zeros(size, dtype=torch.uint8) for size in self._method.non_const_buffer_sizes]
        self._tensors: dict[int, Tensor] = {}

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        """Compute float32 logits from `input_ids` and `attention_mask`, int64 [1, T] each."""
        for index, array in zip(self._method.inputs, (input_ids, attention_mask), strict=True):
            self._tensor(index).copy_(torch.from_numpy(array))
        (chain,) = self._method.chains
        for instruction in chain.instructions:
            call = instruction.instr_args
            if hasattr(call, "op_index"):
                self._kernel(self._method.operators[call.op_index], call.args)
            elif hasattr(call, "delegate_index"):
                self._delegated(call.args)
        return np.asarray(self._tensor(self._method.outputs[0]).numpy().copy())

    def _kernel(self, operator: Any, arguments: list[int]) -> None:
        if operator.name in RESHAPED:
            # The planned output determines the dtype and shape.
            output = self._tensor(arguments[-1])
            output.copy_(self._tensor(arguments[0]).reshape(output.shape))
            return
        if operator.name == "aten::full":  # its dtype is the dtype of its output
            self._tensor(arguments[-1]).fill_(self._value(arguments[1]))
            return
        function = _functional(operator.name, operator.overload)
        schema = function._schema.arguments
        pairs = [(argument, self._value(index)) for argument, index in zip(schema, arguments, strict=False)]
        for _, value in pairs:
            if isinstance(value, Tensor):
                self._watch(value)
        result = self._kernels.get(operator.name, function)(
            *(value for argument, value in pairs if not argument.kwarg_only),
            **{argument.name: value for argument, value in pairs if argument.kwarg_only},
        )
        # The arguments after the outputs are the return values, which are the same outputs.
        results = result if isinstance(result, tuple | list) else (result,)
        outputs = (each for index in arguments[len(schema) :] for each in self._members(index))
        for index, tensor in zip(outputs, results, strict=False):
            self._watch(tensor)
            self._tensor(index).copy_(tensor)

    def _members(self, index: int) -> list[int]:
        """The indices of the tensors in a tensor list; for the index of a single tensor, this index."""
        value = self._method.values[index].val
        return list(value.items) if type(value).__name__ == "TensorList" else [index]

    def _delegated(self, arguments: list[int]) -> None:
        if self._delegate is None:
            raise RuntimeError("the program calls a delegate, but no function to run it was given")
        *inputs, output = (self._tensor(index) for index in arguments)
        output.copy_(self._delegate(inputs).reshape(output.shape))

    def _value(self, index: int) -> Any:
        value = self._method.values[index].val
        kind = type(value).__name__
        if kind == "Tensor":
            return self._tensor(index)
        if kind == "Null":
            return None
        if kind in ("IntList", "OptionalTensorList", "TensorList"):
            return [self._value(item) if item >= 0 else None for item in value.items]
        if kind in ("BoolList", "DoubleList"):
            return list(value.items)
        (content,) = vars(value).values()
        return content

    def _tensor(self, index: int) -> Tensor:
        """The tensor with this index: a copy of a constant, or a view of its place in an arena."""
        if index not in self._tensors:
            value = self._method.values[index].val
            dtype, place = DTYPES[value.scalar_type.name], value.allocation_info
            count = math.prod(value.sizes)
            size = count * dtype.itemsize
            if place is None:
                # The file pads constants.
                memory = torch.frombuffer(
                    bytearray(self._program.constant_buffer[value.data_buffer_idx].storage), dtype=torch.uint8
                )[:size]
            else:
                memory = self._arenas[place.memory_id][place.memory_offset : place.memory_offset + size]
            self._tensors[index] = memory.view(dtype).reshape(value.sizes)
        return self._tensors[index]


@lru_cache
def _functional(name: str, overload: str) -> Any:
    """The functional overload of an out-variant operator: it returns the result instead of writing it to
    `out`.
    """
    namespace, base = name.split("::")
    packet = getattr(getattr(torch.ops, namespace), base)
    expected = _signature(getattr(packet, overload or "default"))
    overloads = (getattr(packet, other) for other in packet.overloads())
    return next(
        function for function in overloads if _signature(function) == expected and not _writes(function)
    )


def _signature(function: Any) -> list[tuple[str, str]]:
    arguments = function._schema.arguments
    return [(argument.name, str(argument.type)) for argument in arguments if not argument.is_write]


def _writes(function: Any) -> bool:
    return any(argument.is_write for argument in function._schema.arguments)
