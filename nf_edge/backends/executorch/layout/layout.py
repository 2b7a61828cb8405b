"""The layout of a `.pte`: the use of its arena, and its weights by layer."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nf_edge.backends.executorch.arena.arenas import XNNPACK_PADDING
from nf_edge.backends.executorch.decoder import cache_values
from nf_edge.backends.executorch.layout.calls import XNNPACK_HEADER, Call, calls_of
from nf_edge.backends.executorch.layout.layers import layers_of
from nf_edge.backends.executorch.layout.storages import Storage, Storages
from nf_edge.backends.executorch.program_file import mapped, read_program
from nf_edge.backends.file_layout import (
    CACHE,
    EMBEDDINGS,
    INPUT,
    ArenaOperator,
    ArenaTensor,
    ArenaUse,
    FileLayout,
)
from nf_edge.model import ModelConfig

OVERLAPS = "tensors that are in use at the same time overlap in the file's plan"
NO_OPERATORS = "the program calls no operators"


def layout_of(path: Path, config: ModelConfig) -> FileLayout:
    """The layout of a `.pte`; without figures if the program has an unexpected form.

    Raises:
        BadInput: the file cannot be read.
    """
    file = read_program(path, mapped(path))
    try:
        return _layout(file, config)
    except Exception as error:
        return FileLayout(None, f"the program has an unexpected form ({type(error).__name__}: {error})")


def _layout(file: Any, config: ModelConfig) -> FileLayout:
    method = file.program.execution_plan[0]
    calls = calls_of(file.program)
    storages = Storages(method, calls, cache_values(method))
    layers = layers_of(storages.calls, method.inputs, config)
    weights = _weights(file, storages.calls, layers, config)
    if not calls:
        return FileLayout(None, NO_OPERATORS, weights)
    if storages.overlap():
        return FileLayout(None, OVERLAPS, weights)
    return FileLayout(_arena(method, storages, layers), "", weights)


def _arena(method: Any, storages: Storages, layers: Sequence[str]) -> ArenaUse:
    calls = storages.calls
    xnnpack = any(call.delegate and call.delegate[4:8] == XNNPACK_HEADER for call in calls)
    return ArenaUse(
        planned=sum(method.non_const_buffer_sizes),
        padding=XNNPACK_PADDING if xnnpack else 0,
        operators=tuple(
            ArenaOperator(*each) for each in zip((call.name for call in calls), layers, strict=True)
        ),
        tensors=tuple(_tensor(storage, method, calls, layers) for storage in storages.all),
    )


def _tensor(storage: Storage, method: Any, calls: Sequence[Call], layers: Sequence[str]) -> ArenaTensor:
    if storage.writer is None:
        layer, operator = INPUT if storage.value in method.inputs else CACHE, ""
    else:
        layer, operator = layers[storage.writer], calls[storage.writer].name
    place = storage.place
    return ArenaTensor(
        layer=layer,
        operator=operator,
        dtype=place.dtype,
        shape=storage.shape,
        bytes=place.bytes,
        offset=place.offset,
        first=storage.first,
        last=storage.last,
    )


def _weights(file: Any, calls: Sequence[Call], layers: Sequence[str], config: ModelConfig) -> dict[str, int]:
    """Bytes of the constants that calls read, by layer; the first reader has a constant that several read."""
    method, buffers = file.program.execution_plan[0], file.program.constant_buffer
    sizes = Counter[str]()
    counted = set()
    named = file.named_data.pte_data if file.named_data else {}
    for call, layer in zip(calls, layers, strict=True):
        for index in call.reads:
            value = method.values[index].val
            buffer = getattr(value, "data_buffer_idx", 0)
            if buffer and value.allocation_info is None and buffer not in counted:
                counted.add(buffer)
                sizes[_table(value, config) or layer] += len(buffers[buffer].storage)
        for key, entry in named.items() if call.delegate else ():
            stored = f"named {entry.buffer_index}"
            if stored not in counted and call.delegate and key.encode() in call.delegate:
                counted.add(stored)
                sizes[layer] += len(file.named_data.buffers[entry.buffer_index])
    return dict(sizes)


def _table(value: Any, config: ModelConfig) -> str:
    """`EMBEDDINGS` if a constant has the shape of a table, else ""; a table may be read late."""
    tables = ((config.vocab_size, config.n_embd), (config.n_positions, config.n_embd))
    return EMBEDDINGS if tuple(value.sizes) in tables else ""
