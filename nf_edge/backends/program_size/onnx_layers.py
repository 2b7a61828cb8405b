"""Predict the bytes of an ONNX file without weights, from the nodes of each layer."""

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.onnx.names import PAST
from nf_edge.backends.precisions import Precisions
from nf_edge.backends.program_size.onnx_graph import (
    AXIS,
    MICROSOFT,
    MODEL,
    QUANTIZED,
    OnnxGraph,
)
from nf_edge.backends.program_size.protobuf import Shape, integer, integers, real, text
from nf_edge.model.config import ModelConfig

# The least head size of GroupQueryAttention, as in backends/onnx/attention.py.
GROUP_QUERY = 8


def onnx_bytes(
    config: ModelConfig, input_shape: InputShape, precision_of: Precisions, cache: CacheDtype | None
) -> int:
    """Predict the bytes of an ONNX file without its weights and tables.

    Args:
        cache: dtype of the model's cache; None without a cache.
    """
    program = OnnxGraph(config, input_shape, precision_of, cache)
    x = program.inputs()
    one = input_shape.outputs_one_token(config)
    for index in range(config.n_layer):
        x = _layer(program, x, index, one and index == config.n_layer - 1)
    width = config.n_embd
    x = program.norm(x, "transformer.ln_f", [program.axes.batch, 1 if one else program.axes.length, width])
    program.head(x)
    return MODEL + (QUANTIZED if program.linear.by_ort else 0) + program.graph.bytes + program.small


def _layer(program: OnnxGraph, x: str, index: int, one: bool) -> str:
    graph, config, axes = program.graph, program.config, program.axes
    heads, inner = config.layer_sizes[index]
    width, block = config.n_embd, f"transformer.h.{index}"
    many: Shape = [axes.batch, axes.length, width]
    rows: Shape = [axes.batch, 1, width] if one else many
    residual = _selected(program, x, rows) if one else x
    normed = program.norm(x, f"{block}.ln_1", many)
    y = _attention(program, normed, index, one)
    y = _projected(program, y, f"{block}.attn.c_proj", (width, heads * config.head_size), rows)
    x = graph.node("Add", [residual, y], graph.sum_name(), rows)
    y = program.norm(x, f"{block}.ln_2", rows)
    inside = [*rows[:2], inner]
    y = _projected(program, y, f"{block}.mlp.c_fc", (inner, width), inside)
    y = _activated(program, y, inside)
    y = _projected(program, y, f"{block}.mlp.c_proj", (width, inner), rows)
    return graph.node("Add", [x, y], graph.sum_name(), rows)


def _projected(program: OnnxGraph, x: str, module: str, shape: tuple[int, int], rows: Shape) -> str:
    bias = program.parameter(f"{module}.bias", (shape[0],))
    return program.linear.product(x, module, shape, rows, bias)


def _activated(program: OnnxGraph, x: str, shape: Shape) -> str:
    kind = program.config.activation_function
    if kind == "relu":
        return program.graph.node("Relu", [x], program.graph.name("relu"), shape)
    form = text("approximate", "tanh" if kind == "gelu_new" else "none")
    return program.graph.node("Gelu", [x], program.graph.name("gelu"), shape, form)


def _selected(program: OnnxGraph, x: str, shape: Shape) -> str:
    """Add the bytes of the nodes that select the output token from `x`, and return the result's name.

    They slice at a fixed place, or gather the last real token.
    """
    graph = program.graph
    if program.cache is not None or program.config.pooled_token == "first":
        if not graph.has("val_64"):
            for name in ("val_64", "val_68"):
                program.index(name)
        return graph.node("Slice", [x, "val_64", "val_68", "val_71", "val_71"], graph.name("slice"), shape)
    if not graph.has("val_80"):
        _last_token(program)
    made = graph.node("GatherND", [x, "val_80"], "val_81", [shape[0], *shape[2:]], integer("batch_dims", 0))
    return graph.node("Unsqueeze", [made, "val_27"], graph.name("unsqueeze"), shape)


def _last_token(program: OnnxGraph) -> None:
    graph, batch = program.graph, program.axes.batch
    for name in ("val_27", "val_34", "val_50"):
        program.index(name)
    reduced = integer("noop_with_empty_axes", 0) + integer("keepdims", 0)
    graph.node("ReduceSum", ["attention_mask", "val_27"], "sum_1", [batch], reduced)
    graph.node("Sub", ["sum_1", "val_8"], "sub_69", [batch])
    graph.node("Squeeze", ["val_2"], "sym_size_int_13", [])
    graph.node("Range", ["val_6", "sym_size_int_13", "val_8"], "arange_3", [batch])
    for source, made in (("arange_3", "val_77"), ("sub_69", "val_79")):
        graph.node("Unsqueeze", [source, "val_34"], made, [batch, 1], name="node_Unsqueeze_73")
    graph.node("Concat", ["val_77", "val_79"], "val_80", [batch, 2], integer("axis", -1), "node_Concat_76")


def _attention(program: OnnxGraph, x: str, index: int, one: bool) -> str:
    graph, config, axes = program.graph, program.config, program.axes
    heads, size = config.layer_sizes[index][0], config.head_size
    module = f"transformer.h.{index}.attn"
    standard = config.attention == "standard"
    parts = 3 if standard else 2
    merged: Shape = [axes.batch, axes.length, heads * size]
    many: Shape = [axes.batch, axes.length, heads, size]
    name = f"{module}.c_attn" if standard else f"{module}.c_kv"
    fused = [*merged[:2], parts * heads * size]
    x = _projected(program, x, name, (parts * heads * size, config.n_embd), fused)
    base = graph.name("split")
    names = [f"{base}_split_{part}" for part in range(parts)]
    split = AXIS + integer("num_outputs", parts)
    graph.node("Split", [x], names, merged, split, f"node_Split_{100 + 8 * index}")
    views = [program.reshape(each, many, "val_20") for each in names]
    # Noise transposes the keys to multiply them, and back.
    query = _noisy(program, views[0], index, heads)
    key = program.transpose(query[1], many) if query else views[-2]
    flat = [program.reshape(key, merged, "val_33"), program.reshape(views[-1], merged, "val_33")]
    bias = _relative(program, index, heads, one) if config.noise.kind == "relative" else ""
    rows: Shape = [axes.batch, 1, heads * size] if one and program.cache is None else merged
    query_rows = flat[0]
    if query or standard or (one and program.cache is None):
        source = program.transpose(query[0], many) if query else views[0]
        if one and program.cache is None:
            source = _selected(program, source, [axes.batch, 1, heads, size])
        query_rows = program.reshape(source, rows, "val_33")
    y = _product(program, [query_rows, *flat], index, heads, rows, bias)
    y = program.reshape(y, [*rows[:2], heads, size], "val_20")
    if one and program.cache is not None:
        y = _selected(program, y, [axes.batch, 1, heads, size])
        rows = [axes.batch, 1, heads * size]
    return program.reshape(y, rows, "val_54")


def _noisy(program: OnnxGraph, view: str, index: int, heads: int) -> tuple[str, str] | None:
    """Add the bytes of the nodes that apply low-rank or pairwise noise to the tensor `view`.

    Returns:
        The names of the query (with noise) and of the key, [B, H, T, d] each; None for other noise.
    """
    graph, config, axes = program.graph, program.config, program.axes
    kind, size = config.noise.kind, config.head_size
    if kind not in ("lowrank", "pairwise"):
        return None
    turned: Shape = [axes.batch, heads, axes.length, size]
    key = program.transpose(view, turned)
    module = f"transformer.h.{index}.attn.noise"
    if kind == "pairwise":
        matrix = program.parameter(f"{module}.p", (heads, size, size))
        noise = graph.node("MatMul", [key, matrix], graph.name("matmul"), turned)
    else:
        rank = config.noise.rank or 1
        first = program.parameter(f"{module}.a", (heads, size, rank))
        low = graph.node("MatMul", [key, first], graph.name("matmul"), [*turned[:3], rank])
        graph.name("transpose")
        second = program.linear.parameter("transpose_10", (heads, rank, size), 4 * heads * rank * size)
        noise = graph.node("MatMul", [low, second], graph.name("matmul"), turned)
    return graph.node("Add", [key, noise], graph.sum_name(), turned), key


def _relative(program: OnnxGraph, index: int, heads: int, one: bool) -> str:
    """Add the bytes of the lookup of relative noise, for one query if `one`; return the bias's name."""
    graph, config, axes = program.graph, program.config, program.axes
    queries: list[int | str] = [axes.batch, 1] if one else [axes.length]
    shape: Shape = [*queries, axes.length]
    if not graph.has("val_27"):
        for name in ("val_27", "val_34", "val_50"):
            program.index(name)
    if index == 0 or one:
        distance = graph.node("Unsqueeze", ["arange_1", "val_27"], "unsqueeze", [*queries, 1])
        distance = graph.node("Sub", [distance, "arange_1"], graph.sum_name("sub"), shape)
        distance = graph.node("Abs", [distance], "abs_1", shape)
        graph.node("Unsqueeze", [distance, "val_34"], "val_35", [*shape, 1], name="node_Unsqueeze_33")
    table = program.linear.parameter("val_30", (config.n_positions, heads), 4 * config.n_positions * heads)
    batch = integer("batch_dims", 0)
    rows = graph.node("GatherND", [table, "val_35"], "val_37", [*shape, heads], batch, "node_GatherND_35")
    perm = integers("perm", *range(len(shape) + 1))
    bias = graph.node("Transpose", [rows], graph.name("index"), [heads, *shape], perm)
    if one:
        return bias
    return graph.node("Unsqueeze", [bias, "val_50"], graph.name("unsqueeze"), [1, heads, *shape])


def _product(program: OnnxGraph, inputs: list[str], index: int, heads: int, rows: Shape, bias: str) -> str:
    graph, config = program.graph, program.config
    attributes = integer("num_heads", heads) + real("scale")
    if program.cache is None:
        operands = [*inputs, "", "_to_copy", *([bias] if bias else [])]
        attributes += integer("unidirectional", 1)
        made = graph.name("_symbolic")
        return graph.node("MultiHeadAttention", operands, made, rows, attributes, domain=MICROSOFT)
    past = [f"{PAST}{index}.{kind}" for kind in ("key", "value")]
    present = [f"present.{index}.{kind}" for kind in ("key", "value")]
    for name in past:
        graph.shape(name, [1, heads, "s00", config.head_size])
    for name in present:
        graph.shape(name, [1, heads, "s00 + s00", config.head_size])
    made = f"getitem_{2 + 5 * index}"
    graph.shape(made, rows)
    named = f"node__symbolic_multi_out_{index}__2"
    outputs = [made, *present]
    if config.head_size % GROUP_QUERY:
        attributes += integer("unidirectional", 1)
        operands = [*inputs, "", "", bias, *past]
        return graph.node("MultiHeadAttention", operands, outputs, None, attributes, named, MICROSOFT)
    attributes += integer("kv_num_heads", heads)
    operands = [*inputs, *past, "sub_4", "squeeze"]
    if bias:
        operands += ["", "", "", bias]
    if program.cache.dtype == "int8":
        scales = [f"{name}.scale" for name in present]
        size = 4 * heads * config.head_size
        for name in scales:
            graph.constant(name, [1, heads, 1, config.head_size], size, shown=False)
            program.small += size
        operands = [*operands, *[""] * (12 - len(operands)), *scales]
        attributes += sum(text(f"{kind}_quant_type", "PER_CHANNEL") for kind in "kv")
        attributes += integer("kv_cache_bit_width", 8)
    return graph.node("GroupQueryAttention", operands, outputs, None, attributes, named, MICROSOFT)
