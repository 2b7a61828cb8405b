"""The calls of a program in the order in which they run, with the values that each reads and writes."""

import struct
from dataclasses import dataclass
from typing import Any

from nf_edge.backends.executorch.program_file import called_by

# A delegate of XNNPACK starts with 4 zeros and this; bytes 10 to 14 have the offset of its flatbuffer
# (`XNNHeader` in executorch/backends/xnnpack/serialization/xnnpack_graph_serialize.py).
XNNPACK_HEADER = b"XH00"
# `output_ids` is the sixth field of XNNGraph (schema.fbs in the same folder).  A flatbuffer's vtable has two
# uint16 before the offsets of the fields.
OUTPUT_IDS = 4 + 2 * 5


@dataclass(frozen=True)
class Call:
    """A call of an operator or of a delegate.

    Attributes:
        name: the operator's name, such as `aten::add.out`, or `delegate NAME`.
        reads: indices of the values that it reads.
        writes: indices of the tensors that it writes.
        delegate: the delegate's content; None for an operator.
    """

    name: str
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    delegate: bytes | None


def calls_of(program: Any) -> list[Call]:
    """The calls of the first method of a parsed program."""
    method = program.execution_plan[0]
    operators, delegates = called_by(method)
    known = set(method.inputs)
    calls = []
    for instruction in method.chains[0].instructions:
        called = instruction.instr_args
        if hasattr(called, "op_index"):
            call = _kernel_call(method, operators[called.op_index], called.args)
        elif hasattr(called, "delegate_index"):
            content = _content(program, method.delegates[called.delegate_index])
            name = delegates[called.delegate_index]
            call = _delegate_call(method, name, called.args, content, known)
        else:
            continue
        known.update(call.reads, call.writes)
        calls.append(call)
    return calls


def members(method: Any, index: int) -> list[int]:
    """The indices of the values in a list of tensors; for any other value, its index alone."""
    value = method.values[index].val
    if type(value).__name__ in ("TensorList", "OptionalTensorList"):
        return [item for item in value.items if item >= 0]
    return [index]


def _kernel_call(method: Any, name: str, arguments: list[int]) -> Call:
    # The last argument is the operator's return value: the tensors that it has written.
    *others, returned = arguments
    writes = [index for index in members(method, returned) if _is_tensor(method, index)]
    values = [each for index in others for each in members(method, index)]
    # It names its outputs before, too.
    reads = [each for each in values if each not in writes]
    return Call(name, tuple(reads), tuple(writes or [returned]), None)


def _delegate_call(method: Any, name: str, arguments: list[int], content: bytes, known: set[int]) -> Call:
    if content[4:8] == XNNPACK_HEADER:
        count = _xnnpack_outputs(content)
    else:
        # A program with another delegate has no other operators before it that view their results.
        count = sum(index not in known and not _is_constant(method, index) for index in arguments)
    split = len(arguments) - count
    return Call(name, tuple(arguments[:split]), tuple(arguments[split:]), content)


def _xnnpack_outputs(content: bytes) -> int:
    """The number of outputs of a delegate of XNNPACK."""
    (start,) = struct.unpack_from("<I", content, 10)
    table = start + struct.unpack_from("<I", content, start)[0]
    vtable = table - struct.unpack_from("<i", content, table)[0]
    field = table + struct.unpack_from("<H", content, vtable + OUTPUT_IDS)[0]
    vector = field + struct.unpack_from("<I", content, field)[0]
    return int(struct.unpack_from("<I", content, vector)[0])


def _content(program: Any, delegate: Any) -> bytes:
    return bytes(program.backend_delegate_data[delegate.processed.index].data)


def _is_tensor(method: Any, index: int) -> bool:
    return type(method.values[index].val).__name__ == "Tensor"


def _is_constant(method: Any, index: int) -> bool:
    value = method.values[index].val
    return bool(getattr(value, "data_buffer_idx", 0)) and value.allocation_info is None
