"""Predict the bytes of embedding lookups in an ONNX file, as `backends/onnx/embedding.py` writes them."""

from typing import TYPE_CHECKING

from nf_edge.backends.onnx.names import group_names, matrix_name
from nf_edge.backends.program_size.protobuf import Shape, integer, integers
from nf_edge.core.recipe.precision import POSITIONS, TOKENS

if TYPE_CHECKING:
    from nf_edge.backends.program_size.onnx_graph import OnnxGraph

FLOAT32 = integer("to", 1)
AXIS = integer("axis", 0)


def tokens(program: "OnnxGraph", rows: Shape, shared: bool) -> None:
    """Add to `program` the bytes of the nodes that look up rows of the token table.

    Args:
        rows: the shape of the result.
        shared: whether a tied head and the table are one tensor in the file.
    """
    graph, config, precision = program.graph, program.config, program.precisions[TOKENS]
    size = (config.vocab_size, config.n_embd)
    tied = config.is_language_model and config.tie_word_embeddings
    name = f"{program.prefix}lm_head.weight" if tied and program.prefix else "transformer.wte.weight"
    graph.shape(name, size)
    graph.shape("embedding", rows)
    if precision.stored is None:
        graph.constant(name, size, 4 * size[0] * size[1], shown=False)
        graph.node("Gather", [name, "input_ids"], "embedding", None, AXIS)
    elif precision.group:
        _groups(program, shared)
    else:
        _rows(program, shared)


def _rows(program: "OnnxGraph", shared: bool) -> None:
    graph, (rows, columns) = program.graph, (program.config.vocab_size, program.config.n_embd)
    precision, table = program.precisions[TOKENS], f"{TOKENS}.rows"
    graph.constant(table, [rows, columns], rows * columns, shown=False)
    program.small += 8
    graph.constant(f"{TOKENS}.last", [1], 8, shown=False)
    names = [f"{TOKENS}.scales", f"{TOKENS}.zeros"]
    if shared:
        head = matrix_name("lm_head")
        names = [f"{head}_scale", f"{head}_zero_point"]
        # The table takes the place of the head's matrix.
        graph.node("Transpose", [table], f"{head}_quantized", None, integers("perm", 1, 0), f"{table}_head")
    graph.node("Gather", [table, "input_ids"], "embedding_rows", name="embedding_rows_gather")
    parts = ["scales"] if precision.symmetric else ["scales", "zeros"]
    for name, part, item in zip(names, parts, (4, 1), strict=False):
        if not shared:
            graph.constant(name, [rows], item * rows, shown=False)
        row = f"embedding_{part}"
        graph.node("Gather", [name, "input_ids"], f"{row}_flat", name=f"{row}_gather")
        graph.node("Unsqueeze", [f"{row}_flat", f"{TOKENS}.last"], row, name=f"{row}_unsqueeze")
    _scaled(program, "embedding_rows", "embedding_scales", "embedding")
    if not precision.symmetric:
        graph.node(
            "Cast", ["embedding_zeros"], "embedding_zeros_float", None, FLOAT32, "embedding_zeros_cast"
        )
        operands = ["embedding_rows_float", "embedding_zeros_float"]
        graph.node("Sub", operands, "embedding_rows_counted", name="embedding_rows_subtract")


def _groups(program: "OnnxGraph", shared: bool) -> None:
    graph, precision = program.graph, program.precisions[TOKENS]
    rows, columns = program.config.vocab_size, program.config.n_embd
    bits, group = precision.stored or 8, precision.group or 1
    blocks, packed = columns // group, -(-columns // group * bits // 8)
    table, scales, *zeros = group_names(matrix_name("lm_head" if shared else TOKENS), precision)
    if not shared:
        graph.constant(table, [rows, blocks, group * bits // 8], rows * columns * bits // 8, shown=False)
        graph.constant(scales, [rows, blocks], 4 * rows * blocks, shown=False)
        for name in zeros:
            graph.constant(name, [rows, packed], rows * packed, shown=False)
    for name in (f"{scales}_shape", "embedding_shape"):
        program.small += 24
        graph.constant(name, [3], 24, shown=False)
    graph.node("Reshape", [scales, f"{scales}_shape"], f"{scales}_blocks", name=f"{scales}_reshape")
    for name in zeros:
        _unpacked(program, name, f"{scales}_shape")
    attributes = sum(
        integer(name, value)
        for name, value in {"bits": bits, "block_size": group, "gather_axis": 0, "quantize_axis": 2}.items()
    )
    operands = [table, "input_ids", f"{scales}_blocks", *(f"{name}_blocks" for name in zeros)]
    made = "embedding_blocks"
    graph.node("GatherBlockQuantized", operands, made, None, attributes, "embedding_gather", "com.microsoft")
    graph.node("Reshape", [made, "embedding_shape"], "embedding", name="embedding_reshape")


def _unpacked(program: "OnnxGraph", points: str, shape: str) -> None:
    graph = program.graph
    for name in ("shifts", "mask", "first", "second", "last", "flat", "count"):
        graph.constant(f"{points}_{name}", [1], 8, shown=False)
    program.small += 8 * 5
    given = points
    for step in ("Unsqueeze", "BitShift", "BitwiseAnd", "Reshape", "Slice"):
        made = f"{points}_{step}"
        given = graph.node(step, [given, f"{points}_shifts"], made, name=made)
    graph.node("Reshape", [given, shape], f"{points}_blocks", name=f"{points}_reshape")


def positions(program: "OnnxGraph", rows: Shape, selection: str) -> None:
    """Add to `program` the bytes of the nodes that look up rows of the position table.

    Args:
        rows: the shape of the result.
        selection: the name of the tensor of position numbers; "" if the program uses all rows.
    """
    graph, size = program.graph, (program.config.n_positions, program.config.n_embd)
    name = f"{program.prefix}transformer.wpe.weight"
    graph.shape(name, size)
    graph.shape("embedding_1", rows)
    made = "embedding_1" if selection else name
    if program.precisions[POSITIONS].stored is None:
        graph.constant(name, size, 4 * size[0] * size[1], shown=False)
        if selection:
            graph.node("Gather", [name, selection], "embedding_1", None, AXIS)
        return
    table, scales = f"{POSITIONS}.rows", f"{POSITIONS}.scales"
    graph.constant(table, size, size[0] * size[1], shown=False)
    graph.constant(scales, [size[0], 1], 4 * size[0], shown=False)
    if not selection:
        _scaled(program, table, scales, f"{name}_float")
        return
    for source, result in ((table, f"{made}_rows"), (scales, f"{made}_scales")):
        graph.node("Gather", [source, selection], result, name=f"{result}_read")
    _scaled(program, f"{made}_rows", f"{made}_scales", made)


def _scaled(program: "OnnxGraph", rows: str, factors: str, result: str) -> None:
    graph = program.graph
    graph.node("Cast", [rows], f"{rows}_float", None, FLOAT32, f"{rows}_cast")
    graph.node("Mul", [f"{rows}_float", factors], result, name=f"{result}_scale")
