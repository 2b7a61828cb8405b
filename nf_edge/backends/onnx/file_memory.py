"""The memory plan of a model in ONNX Runtime, read from its file."""

from pathlib import Path

import numpy as np
import onnx

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.onnx.file import read
from nf_edge.backends.onnx.memory import tied_head
from nf_edge.backends.onnx.names import PAST
from nf_edge.core.errors import BadInput
from nf_edge.model import ModelConfig

# Operators that read rows of a table; operators that read a tied head's table or transpose it.
LOOKUPS = {"Gather", "Slice", "GatherBlockQuantized"}
PRODUCTS = {"Gemm", "MatMul", "MatMulNBits", "Transpose"}


def planned(path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
    """The memory plan of a model file: its parts and the cache.

    The session's heap and arenas are None, because the file does not determine them.
    """
    try:
        model = read(path)
    except Exception as error:
        raise BadInput(f"is not an ONNX model ({error})", where=path, fix="export it again") from error
    looked_up = _looked_up(model)
    tables = {
        tensor.name: tensor_bytes(tensor)
        for tensor in model.graph.initializer
        if tensor.name in looked_up and tensor.dims[0] in (config.vocab_size, config.n_positions)
    }
    embeddings = sum(tables.values())
    weights = sum(tensor_bytes(tensor) for tensor in model.graph.initializer) - embeddings
    # A table that is also multiplied is a tied head; the runtime packs a copy of it at load.
    multiplied = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input}
    copied = sum(size for name, size in tables.items() if name in multiplied)
    return MemoryPlan(
        program=path.stat().st_size - weights - embeddings,
        weights=weights,
        embeddings=embeddings,
        mapped=0,
        loaded=None,
        cache=_cache_bytes(model, input_shape),
        arenas=None,
        workspace=0,
        freed=None,
        notes=tuple(tied_head(config, in_file=not copied)),
    )


def _looked_up(model: onnx.ModelProto) -> set[str]:
    """Names of the tensors whose rows are looked up: tables, and the scales and zero points of tables with
    groups.
    """
    arrays = {tensor.name for tensor in model.graph.initializer}
    made_of = {node.output[0]: node.input[0] for node in model.graph.node if node.input}
    names = set()
    for node in model.graph.node:
        if node.op_type in LOOKUPS:
            names.add(node.input[0])
        if node.op_type == "GatherBlockQuantized":
            for name in node.input[2:]:
                while name not in arrays:
                    name = made_of[name]
                names.add(name)
    return names


def _cache_bytes(model: onnx.ModelProto, input_shape: InputShape) -> int:
    """Bytes of keys and values of all positions, from the dtypes and shapes [1, H, past, d] of the inputs."""
    past = [entry.type.tensor_type for entry in model.graph.input if entry.name.startswith(PAST)]
    return input_shape.length * sum(
        tensor.shape.dim[1].dim_value * tensor.shape.dim[3].dim_value * _item(tensor.elem_type)
        for tensor in past
    )


def tensor_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of a tensor's values."""
    return int(np.prod(tensor.dims, dtype=np.int64)) * _item(tensor.data_type)


def _item(data_type: int) -> int:
    """Bytes per value of an ONNX dtype."""
    return onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
