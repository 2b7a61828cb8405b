"""Read the parts of a `.pte`, and of the graph before it is written, for all ExecuTorch backends."""

import mmap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch

from nf_edge.backends.coverage.coverage import Operator
from nf_edge.backends.coverage.macs import elements_of, macs_of, qualified_name
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import quiet_libraries
from nf_edge.model import ModelConfig

# Calls without computation: they select a result of a tuple, read a shape, or reserve memory.
NOT_COMPUTE = {"getitem", "executorch_call_delegate", "aten::sym_size", "alloc", "view", "free"}


def mapped(path: Path) -> bytes | memoryview:
    """The content of a file, mapped into memory, so that a part is read only when it is used.

    The result is empty bytes if the file is empty.
    """
    with path.open("rb") as file:
        # An empty file cannot be mapped.
        empty = file.seek(0, 2) == 0
        return b"" if empty else memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def read_program(path: Path, content: bytes | memoryview) -> Any:
    """Parse a `.pte` with ExecuTorch's schema, and return ExecuTorch's PTEFile.

    Args:
        content: the file's content.  The constants of the result are parts of it, not copies.
    """
    try:
        return _parsed(memoryview(content))
    except Exception as error:
        fix = "export it again"
        raise BadInput(f"is not an ExecuTorch program ({error})", where=path, fix=fix) from error


def _parsed(content: memoryview) -> Any:
    """Parse a `.pte` like ExecuTorch's `deserialize_pte_binary`, but without its copies of constants."""
    with quiet_libraries():
        from executorch.exir._serialize import _program as serializer
        from executorch.exir._serialize._named_data_store import NamedDataStoreOutput
        from executorch.exir._serialize.data_serializer import DataEntry

    header = serializer._get_extended_header(content[: serializer._ExtendedHeader.EXPECTED_LENGTH + 8])
    if header is None or not header.segment_base_offset:
        return serializer.deserialize_pte_binary(bytes(content))
    program = serializer._flatbuffer_to_program(bytes(content[: header.program_size]))
    segments, entries, program.named_data = program.segments, program.named_data, []
    constants = content[header.segment_base_offset :]
    file = serializer._restore_segments(program=program, segment_data=constants)
    if entries:
        indices = dict.fromkeys(entry.segment_index for entry in entries)
        places = {index: place for place, index in enumerate(indices)}
        named = {entry.key: DataEntry(places[entry.segment_index], 1, None) for entry in entries}
        stored = [constants[segments[index].offset :][: segments[index].size] for index in indices]
        file.named_data = NamedDataStoreOutput(stored, named, {})
    return file


def operators_of(path: Path) -> dict[str, int]:
    """Map the name of each operator and delegate in a program to the number of its calls."""
    method = read_program(path, mapped(path)).program.execution_plan[0]
    operators, delegates = called_by(method)
    calls = Counter[str]()
    for instruction in method.chains[0].instructions:
        call = instruction.instr_args
        if hasattr(call, "op_index"):
            calls[operators[call.op_index]] += 1
        elif hasattr(call, "delegate_index"):
            calls[delegates[call.delegate_index]] += 1
    return dict(calls.most_common())


def called_by(method: Any) -> tuple[list[str], list[str]]:
    """Names of a method's operators, and names of its delegates, in the order of their indices."""
    operators = [f"{each.name}.{each.overload}".rstrip(".") for each in method.operators]
    return operators, [f"delegate {each.id}" for each in method.delegates]


def constant_bytes(file: Any, config: ModelConfig) -> tuple[int, int]:
    """Bytes of all constants outside delegates, and how many of these bytes are embedding tables."""
    method = file.program.execution_plan[0]
    tables = {(config.vocab_size, config.n_embd), (config.n_positions, config.n_embd)}
    looked_up = _looked_up(method)
    constants: dict[int, bool] = {}
    for position, value in enumerate(method.values):
        index = getattr(value.val, "data_buffer_idx", 0)
        if index and value.val.allocation_info is None:
            # A float32 position table is sliced, not looked up, so its shape identifies it.
            constants[index] = position in looked_up or tuple(value.val.sizes) in tables
    sizes = {index: len(file.program.constant_buffer[index].storage) for index in constants}
    return sum(sizes.values()), sum(size for index, size in sizes.items() if constants[index])


def _looked_up(method: Any) -> set[int]:
    """Indices of the values that an embedding operator reads: tables, their scales, and token ids."""
    calls = [instruction.instr_args for chain in method.chains for instruction in chain.instructions]
    return {
        argument
        for call in calls
        if hasattr(call, "op_index") and "embedding" in method.operators[call.op_index].name
        for argument in call.args
    }


def delegates_of(edge: Any) -> list[Any]:
    """The delegates of a lowered program before it is written: ExecuTorch's LoweredBackendModules."""
    from executorch.exir.lowered_backend_module import get_lowered_submodules

    return [module for _, module, _ in get_lowered_submodules(edge.exported_program().graph_module)]


def operators_in(graph: torch.fx.GraphModule, counted: str = "") -> Iterator[Operator]:
    """The operators of a lowered graph, including those inside its delegates.

    Args:
        counted: a namespace of operators that count as accelerated although no delegate runs them; "" for
            none.
    """
    from executorch.exir.lowered_backend_module import LoweredBackendModule

    for node, name in _computing(graph.graph):
        namespace, _, bare = name.rpartition("::")
        taken = bool(counted) and namespace == counted
        yield Operator(bare, macs_of(node), taken, elements_of(node))
    for name, module in graph.named_children():
        if name.startswith("lowered_module"):
            inner = cast(LoweredBackendModule, module).original_module.graph_module.graph
            for node, inside in _computing(inner):
                yield Operator(inside, macs_of(node), taken=True)


def _computing(graph: torch.fx.Graph) -> Iterator[tuple[torch.fx.Node, str]]:
    """The calls in a graph that compute values, with their names.

    Calls that only handle memory, shapes, tuples or delegates are left out.
    """
    for node in graph.nodes:
        if node.op == "call_function" and (name := qualified_name(node)) not in NOT_COMPUTE:
            yield node, name
