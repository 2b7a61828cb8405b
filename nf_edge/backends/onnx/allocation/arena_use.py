"""The predicted use of memory by the activations of one run, operator by operator."""

from nf_edge.backends.file_layout import CACHE, ArenaOperator, ArenaTensor, ArenaUse
from nf_edge.backends.onnx.allocation.pattern import Pattern
from nf_edge.backends.onnx.allocation.tape import Tape


def arena_use_of(tape: Tape) -> ArenaUse:
    """The use of the block that ONNX Runtime reserves from the second run of a shape on.

    Scratch buffers and the model's outputs are apart from the block; here they follow it.
    """
    end = len(tape.operators) - 1
    pattern, tensors = Pattern(), list[ArenaTensor]()
    live: dict[int, list[tuple[int, int]]] = {}
    buffers = tape.buffers()
    for step, operator in enumerate(tape.operators):
        for buffer in buffers.get(step, ()):
            block = pattern.allocate(buffer.bytes)
            live.setdefault(buffer.last, []).append(block)
            tensors.append(_tensor(operator.layer, block, step, buffer.last))
        for block in live.pop(step, ()):
            pattern.free(block)
    kept = pattern.bytes
    for step, operator in enumerate(tape.operators):
        for output in operator.outputs if operator.kept else ():
            layer = CACHE if output.shape == "present" else operator.layer
            tensors.append(_tensor(layer, (kept, output.bytes), step, end))
            kept += output.bytes
    top = kept
    for step, operator in enumerate(tape.operators):
        offset = kept
        for size in operator.scratch:
            tensors.append(_tensor(operator.layer, (offset, size), step, step, "scratch"))
            offset += size
        top = max(top, offset)
    operators = tuple(ArenaOperator("", operator.layer) for operator in tape.operators)
    return ArenaUse(top, 0, operators, tuple(tensors), how="predicted")


def _tensor(layer: str, block: tuple[int, int], first: int, last: int, operator: str = "") -> ArenaTensor:
    offset, size = block
    return ArenaTensor(layer, operator, "", (), size, offset, first, last)
