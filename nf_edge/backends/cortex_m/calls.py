"""List the operator calls of a Cortex-M program before lowering, layer by layer as in `form.py`."""

from collections.abc import Iterator

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.static_shape.host_calls import Call, answer, embeddings, hidden, last_token
from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.backends.static_shape.spec import query_blocks
from nf_edge.model import ModelConfig


def calls_of(config: ModelConfig, input_shape: InputShape, rows: int) -> list[Call]:
    """List the operator calls of a program.

    Args:
        rows: the maximum number of queries in a block; causal layers compute attention block by block.
    """
    return list(_program(config, input_shape.length, rows))


def _program(config: ModelConfig, length: int, rows: int) -> Iterator[Call]:
    output = output_tokens_of(config)
    yield from embeddings(config)
    yield _quantize(3)
    if output == "last" or not config.causal:
        yield from hidden()
        yield _quantize(2)
    if output == "last":
        yield from last_token()
        yield _quantize(2, views=1)
    for number, (heads, _) in enumerate(config.layer_sizes):
        last = number == config.n_layer - 1
        yield from _layer(config, heads, length, rows, output if last else "all")
    yield _norm()
    if config.is_language_model:
        yield _quantize(3)
        yield _linear(bias=False)
        yield _dequantize()
    else:
        yield from answer(config, output)


def _layer(config: ModelConfig, heads: int, length: int, rows: int, output: str) -> Iterator[Call]:
    every, picks = output == "all", _pick(output)
    masked = config.causal and every
    blocks = query_blocks(length if every else 1, rows if masked else None)
    yield from picks
    yield _norm()
    yield _quantize(3)
    yield from _queries(config, picks)
    for block, (low, high) in enumerate(blocks):
        all_keys = high == length or not masked
        sliced = 0 if len(blocks) == 1 else 1 if all_keys else 3
        for _ in range(sliced):
            yield Call("aten::slice_copy.Tensor_out", 7, (3,), scalars=4)
        yield from _attention(config, heads, high - low, masked, first=block == 0)
    if len(blocks) > 1:
        yield Call("aten::cat.out", 4, (3,), scalars=1, tensor_lists=(len(blocks),))
    if every:
        yield _transpose()
    yield _linear()
    yield _add()
    yield _dequantize()
    yield _norm()
    yield _quantize(3)
    yield _linear(rows_after=False)
    # One token's image has another layout before and after the activation.
    images = (4,) if every else (4, 4, 4)
    yield Call("cortex_m::quantized_activation.out", 4, images, constants=(1,))
    yield _linear(image_before=False)
    yield _add()
    yield _dequantize()


def _queries(config: ModelConfig, picks: list[Call]) -> Iterator[Call]:
    """The calls of the linear layers for keys, values and queries, and of the noise on the queries.

    Args:
        picks: the calls that select the only query; empty if all tokens are queries.
    """
    noisy = config.noise.kind in ("lowrank", "pairwise")
    # Without noise, keys are split by head at once, and so are queries.
    yield _linear(rows_after=noisy or bool(picks) or config.attention == "standard")  # keys
    yield _linear()  # values
    yield from picks
    if config.attention == "standard":
        yield _linear()
    if noisy:
        yield _linear(bias=False, rows_after=config.noise.kind == "pairwise")
        if config.noise.kind == "lowrank":
            yield _linear(bias=False, image_before=False)
        yield _add()


def _attention(config: ModelConfig, heads: int, queries: int, masked: bool, first: bool) -> Iterator[Call]:
    """The calls of attention for one block of queries.

    Args:
        masked: whether causal order hides keys.
        first: whether this is the layer's first block.
    """
    views = 2 if first and config.attention == "symmetric" else 0
    yield _transpose(views)
    if queries > 1:
        yield _transpose()
    yield _product()
    relative = config.noise.kind == "relative"
    if relative or masked:
        same_shape = relative or heads == 1
        # Otherwise the bias has one value per channel: a view before and after, and two constants.
        yield _add((3,), (3,)) if same_shape else _add((4, 4, 3), (4, 3))
    if not masked and not (config.causal and config.noise.kind == "relative"):
        yield _add((4, 4, 4, 3))
    yield Call("cortex_m::softmax.out", 9, (3,), scalars=6)
    yield _transpose()
    yield _product()


def _pick(output: str) -> list[Call]:
    """The calls that select one output token; none if `output` is "all"."""
    if output == "all":
        return []
    if output == "first":
        return [Call("aten::slice_copy.Tensor_out", 7, (3,), scalars=4)]
    return [_transpose(), _product()]


def _linear(*, bias: bool = True, image_before: bool = True, rows_after: bool = True) -> Call:
    """One call for a linear layer as a convolution, and optionally the views of its input and its result."""
    views = (*((4,) if image_before else ()), *((3,) if rows_after else ()))
    constants = (4, 1, 1, *((1,) if bias else ()))
    scalars = 4 if bias else 5
    # The padding is (0, 0).
    absent = 2 if bias else 3
    name = "cortex_m::quantized_conv2d_nhwc.out"
    return Call(name, 15, (*views, 1, 4), scalars, lists=(2, 2, 2), constants=constants, absent=absent)


def _norm() -> Call:
    name = "aten::native_layer_norm.out"
    return Call(name, 9, (3, 3, 3), scalars=1, lists=(1,), tensor_lists=(3,), constants=(1, 1))


def _add(ranks: tuple[int, ...] = (3,), constants: tuple[int, ...] = ()) -> Call:
    return Call("cortex_m::quantized_add.out", 15, ranks, scalars=11, constants=constants, absent=1)


def _product() -> Call:
    return Call("cortex_m::quantized_batch_matmul.out", 10, (1, 3), scalars=5)


def _transpose(views: int = 0) -> Call:
    return Call("cortex_m::transpose.out", 4, (3,) * (1 + views), lists=(3,), absent=1)


def _quantize(rank: int, views: int = 0) -> Call:
    return Call("cortex_m::quantize_per_tensor.out", 8, (rank, *(3,) * views), scalars=5)


def _dequantize() -> Call:
    return Call("cortex_m::dequantize_per_tensor.out", 8, (3,), scalars=5)
