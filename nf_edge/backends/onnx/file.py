"""Read and write an ONNX file without holding its weights in memory.

`read` returns the model with its large tensors as external data: each entry names the file itself and the
tensor's offset in it.  `save` copies such tensors from file to file.  Field numbers are those of onnx.proto
(github.com/onnx/onnx); the encoding is protobuf's: https://protobuf.dev/programming-guides/encoding.
"""

import math
import mmap
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, TensorProto
from onnx.helper import tensor_dtype_to_np_dtype

# Tensors below this size are read into the model.
LARGE = 4096
# Field numbers: ModelProto.graph, GraphProto.initializer, TensorProto.raw_data.
GRAPH, INITIALIZER, RAW_DATA = 7, 5, 9
# The wire type of a field with a length.
LENGTH_DELIMITED = 2
FIXED_SIZES = {1: 8, 5: 4}
# Bytes that are written at once.
CHUNK = 1 << 24


class _Field(NamedTuple):
    """A field of a protobuf message: its number, and the offsets of its key, its value and its end."""

    number: int
    start: int
    value: int
    end: int


def read(path: Path) -> ModelProto:
    """The model in a file; the values of its large initializers stay in the file, as external data.

    Raises:
        ValueError: the file is not an ONNX model.
    """
    model, tensors = ModelProto(), list[TensorProto]()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        top = list(_fields(content, 0, len(content)))
        graph = [field for field in top if field.number == GRAPH]
        if len(graph) != 1:
            raise ValueError("it has no graph")
        rest = bytearray()
        for field in _fields(content, graph[0].value, graph[0].end):
            if field.number == INITIALIZER:
                tensors.append(_tensor(content, field, path))
            else:
                rest += content[field.start : field.end]
        _parse(model, b"".join(content[field.start : field.end] for field in top if field.number != GRAPH))
    _parse(model.graph, bytes(rest))
    model.graph.initializer.extend(tensors)
    return model


def save(model: ModelProto, path: Path, values: Mapping[str, np.ndarray] | None = None) -> None:
    """Write a model as one file, byte for byte as `onnx.save` would.

    Args:
        path: may be the file that the model was read from.
        values: values of initializers that have none in the model, by name.
    """
    graph = ModelProto()
    graph.graph.CopyFrom(_without_initializers(model))
    outer = _without_graph(model)
    before, after = _split(graph.graph.SerializeToString(), INITIALIZER)
    parts = [_Part.of(tensor, values or {}) for tensor in model.graph.initializer]
    size = len(before) + len(after) + sum(part.size for part in parts)
    first, last = _split(outer.SerializeToString(), GRAPH)
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(first + _key(GRAPH) + _varint(size) + before)
        for part in parts:
            file.write(part.head)
            if part.values is not None:
                _write_values(file, part.values())
        file.write(after + last)
    os.replace(temporary, path)


def save_with_data(model: ModelProto, path: Path, values: Mapping[str, np.ndarray]) -> None:
    """Write a model whose large values are in a second file, which ONNX Runtime maps instead of copying it.

    Args:
        values: values of initializers that have none in the model, by name.
    """
    data = path.with_name(f"{path.name}.data")
    with data.open("wb") as file:
        for tensor in model.graph.initializer:
            if not is_external(tensor) and tensor.name not in values:
                continue
            # Kernels may read floats at aligned addresses only.
            file.write(b"\0" * (-file.tell() % mmap.PAGESIZE))
            start = file.tell()
            _write_values(file, values[tensor.name] if tensor.name in values else values_of(tensor))
            _refer(tensor, data.name, start, file.tell())
    onnx.save(model, path)


def values_of(tensor: TensorProto, content: np.ndarray | None = None) -> np.ndarray:
    """The values of a tensor; external values are mapped from their file, and read-only.

    Args:
        content: the bytes of the file; None: the file is opened.
    """
    if not is_external(tensor):
        return onnx.numpy_helper.to_array(tensor)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    dtype = np.dtype(tensor_dtype_to_np_dtype(tensor.data_type))
    if content is not None:
        part = content[int(entries["offset"]) :][: int(entries["length"])]
        return part.view(dtype).reshape(tuple(tensor.dims))
    return np.memmap(entries["location"], dtype, "r", int(entries["offset"]), tuple(tensor.dims))


def is_external(tensor: TensorProto) -> bool:
    return tensor.data_location == TensorProto.EXTERNAL


def hollow(name: str, shape: Iterable[int], data_type: int = TensorProto.FLOAT) -> TensorProto:
    """A tensor with a name, shape and dtype but without values, for graphs whose weights are not needed."""
    return TensorProto(name=name, dims=list(shape), data_type=data_type)


def _tensor(content: mmap.mmap, field: _Field, path: Path) -> TensorProto:
    tensor, small, raw = TensorProto(), bytearray(), None
    for part in _fields(content, field.value, field.end):
        if part.number == RAW_DATA and part.end - part.value >= LARGE:
            raw = part
        else:
            small += content[part.start : part.end]
    _parse(tensor, bytes(small))
    if raw is not None:
        _refer(tensor, str(path.resolve()), raw.value, raw.end)
    return tensor


def _refer(tensor: TensorProto, location: str, start: int, end: int) -> None:
    """Make a tensor's values external data: bytes `start` to `end` of the file `location`."""
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key, value in {"location": location, "offset": start, "length": end - start}.items():
        tensor.external_data.add(key=key, value=str(value))


def _fields(content: mmap.mmap | bytes, start: int, end: int) -> Iterator[_Field]:
    at = start
    while at < end:
        key, value = _read_varint(content, at, end)
        number, wire = key >> 3, key & 7
        if wire == LENGTH_DELIMITED:
            length, value = _read_varint(content, value, end)
            stop = value + length
        elif wire == 0:
            _, stop = _read_varint(content, value, end)
        elif wire in FIXED_SIZES:
            stop = value + FIXED_SIZES[wire]
        else:
            raise ValueError(f"a field has the unknown wire type {wire}")
        if stop > end:
            raise ValueError("a field is cut short")
        yield _Field(number, at, value, stop)
        at = stop


def _read_varint(content: mmap.mmap | bytes, at: int, end: int) -> tuple[int, int]:
    """The integer at offset `at`, in protobuf's variable-length encoding, and the offset after it."""
    result = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = content[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise ValueError("a number is cut short")


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _key(number: int) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED)


def _parse(message: onnx.ModelProto | onnx.GraphProto | TensorProto, content: bytes) -> None:
    try:
        message.ParseFromString(content)
    except Exception as error:  # DecodeError, whose module differs between protobuf's implementations
        raise ValueError(str(error)) from error


def _split(serialized: bytes, number: int) -> tuple[bytes, bytes]:
    """Split a message that lacks the field `number` at that field's place: (fields before, fields after)."""
    at = next((each.start for each in _fields(serialized, 0, len(serialized)) if each.number > number), None)
    return (serialized, b"") if at is None else (serialized[:at], serialized[at:])


def _without_initializers(model: ModelProto) -> onnx.GraphProto:
    copy = onnx.GraphProto()
    for descriptor, value in model.graph.ListFields():
        if descriptor.name == "initializer":
            continue
        if isinstance(value, str):
            setattr(copy, descriptor.name, value)
        else:
            getattr(copy, descriptor.name).extend(value)
    return copy


def _without_graph(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    for descriptor, value in model.ListFields():
        if descriptor.name == "graph":
            continue
        if isinstance(value, str | int):
            setattr(copy, descriptor.name, value)
        else:
            getattr(copy, descriptor.name).extend(value)
    return copy


class _Part(NamedTuple):
    """A serialized initializer up to its large values, a function that maps these, and the size of both."""

    head: bytes
    values: Callable[[], np.ndarray] | None
    size: int

    @classmethod
    def of(cls, tensor: TensorProto, values: Mapping[str, np.ndarray]) -> "_Part":
        raw = math.prod(tensor.dims) * np.dtype(tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
        stored = is_external(tensor) or (tensor.HasField("raw_data") and raw >= LARGE)
        if not stored and tensor.name not in values:
            head, raw, get = tensor.SerializeToString(), 0, None
        else:
            head = hollow(tensor.name, tensor.dims, tensor.data_type).SerializeToString()
            head += _key(RAW_DATA) + _varint(raw)
            # Mapped or copied only while they are written, so that they do not add up.
            get = (
                partial(values.__getitem__, tensor.name)
                if tensor.name in values
                else partial(values_of, tensor)
            )
        head = _key(INITIALIZER) + _varint(len(head) + raw) + head
        return cls(head, get, len(head) + raw)


def _write_values(file: BinaryIO, values: np.ndarray) -> None:
    """Write values in C order, a part at a time: a matrix may be a transposed view of another."""
    rows = max(CHUNK // max(values.nbytes // max(len(values), 1), 1), 1) if values.ndim else 1
    for start in range(0, len(values) if values.ndim else 1, rows):
        part = values[start : start + rows] if values.ndim else values
        file.write(np.ascontiguousarray(part).data)
