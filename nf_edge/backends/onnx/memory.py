"""The memory plan of a model in ONNX Runtime, read from its file or predicted."""

from pathlib import Path

import numpy as np
import onnx

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.onnx.names import PAST
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# Bytes of the graph in the file, and of a session's structures.  These figures and the factors of the arena
# below are fitted to models of 2 to 4 layers with 64 to 512 tokens.
PROGRAM_BASE, PROGRAM_LAYER = 3_000, 5_000
SESSION_BASE, SESSION_LAYER = 1_600_000, 150_000
# Operators that read rows of a table; operators that read a tied head's table or transpose it.
LOOKUPS = {"Gather", "Slice", "GatherBlockQuantized"}
PRODUCTS = {"Gemm", "MatMul", "MatMulNBits", "Transpose"}


def planned(path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
    """The memory plan of a model file."""
    try:
        model = onnx.load(path)
    except Exception as error:
        raise BadInput(f"is not an ONNX model ({error})", where=path, fix="export it again") from error
    looked_up = _looked_up(model)
    tables = {
        tensor.name: _bytes(tensor)
        for tensor in model.graph.initializer
        if tensor.name in looked_up and tensor.dims[0] in (config.vocab_size, config.n_positions)
    }
    embeddings = sum(tables.values())
    weights = sum(_bytes(tensor) for tensor in model.graph.initializer) - embeddings
    # A table that is also multiplied is a tied head; the runtime packs a copy of it at load.
    multiplied = {name for node in model.graph.node if node.op_type in PRODUCTS for name in node.input}
    copied = sum(size for name, size in tables.items() if name in multiplied)
    return MemoryPlan(
        program=path.stat().st_size - weights - embeddings,
        weights=weights,
        embeddings=embeddings,
        mapped=0,
        loaded=weights + embeddings + copied + SESSION_BASE + SESSION_LAYER * config.n_layer,
        cache=_cache_bytes(model, input_shape),
        arenas=None,
        workspace=None,
        notes=tuple(_tied_head(config, in_file=not copied)),
    )


def predicted(
    config: ModelConfig, input_shape: InputShape, recipe: Recipe, cache: CacheDtype | None
) -> MemoryPlan:
    """The memory of an artifact, computed before lowering."""
    sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
    # A channel has a float32 scale and an int8 zero point; a group has a float32 scale.
    weights = sizes.linear_bytes(precision_of, channel_bytes=5, group_bytes=4)
    constants = weights + 4 * (sizes.biases + sizes.others)
    tables = sizes.table_bytes(precision_of)
    arenas = 4 * (sizes.scores // 4 + 3 * sizes.inner // 2 + 40 * sizes.hidden)
    if config.noise.kind == "relative":
        # The operator's blocked form does not support a bias, so the complete scores are in memory.
        arenas += 4 * 4 * sizes.scores
    cached = sizes.cache * (1 if cache.dtype == "int8" else 4) if cache else 0
    # During a step, past and present caches are both in memory.
    arenas += cached
    # In the file a tied head of the same dtype is the table itself; the runtime packs a copy at load.
    shared = shares_table(precision_of, config)
    return MemoryPlan(
        program=PROGRAM_BASE + PROGRAM_LAYER * config.n_layer,
        weights=constants - (sizes.token_bytes(precision_of) if shared else 0),
        embeddings=tables,
        mapped=0,
        loaded=constants + tables + SESSION_BASE + SESSION_LAYER * config.n_layer,
        cache=cached,
        arenas=arenas,
        workspace=0,
        notes=tuple(_tied_head(config, in_file=not shared)),
    )


def _tied_head(config: ModelConfig, in_file: bool) -> list[str]:
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    if in_file:
        return [
            f"the tied embedding ({size:,} values) is stored twice: as table, and in another dtype as head"
        ]
    return [
        f"the tied embedding ({size:,} values) is stored once, but ONNX Runtime packs a copy for the head "
        "when it loads"
    ]


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


def _bytes(tensor: onnx.TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64)) * _item(tensor.data_type)


def _item(data_type: int) -> int:
    """Bytes per value of an ONNX dtype."""
    return onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize
