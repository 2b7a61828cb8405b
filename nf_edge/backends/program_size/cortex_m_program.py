"""Predict the bytes of a `.pte` of backend cortex_m: of its program, and of its constants.

The object counts are those of programs that the backend lowered.  There are no delegates.
"""

from collections import Counter

from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.program_size.executorch import (
    SEGMENT,
    base_bytes,
    objects_bytes,
    operators_bytes,
    padding,
    segment_bytes,
)
from nf_edge.backends.program_size.pieces import counts
from nf_edge.backends.tensor_sizes import Sizes
from nf_edge.model.config import ModelConfig

# A layer with relative noise or without noise, and with one block of queries.
LAYER = counts(
    "activation1:7 activation3:25 activation4:10 call10:2 call15:8 call4:5 call8:4 call9:3 constant1:20 "
    "constant3:1 constant4:5 nothing:13 number:122 numbers1:2 numbers2:15 numbers3:4 tensors3:2"
)
# Another block: its products, softmax and sum with the mask, and the slices of keys and values.
BLOCK = counts(
    "activation1:2 activation3:12 call10:2 call15:1 call4:4 call7:4 call9:1 constant3:1 nothing:13 number:40 "
    "numbers3:3 tensors2:1"
)
# Each block reshapes its scores to add a mask that is equal for all heads.
MASK = counts("activation4:2 constant4:1 nothing:-1 numbers2:-1")
# A layer of the noise, and the sum with the query.
NOISE_LAYER = counts(
    "activation1:1 activation4:1 call15:1 constant1:2 constant4:1 nothing:2 number:10 numbers2:2"
)
NOISE_SUM = counts("activation3:3 activation4:1 call15:1 nothing:5 number:4 numbers2:3")
MODEL = counts(
    "activation1:1 activation2:3 activation3:9 activation4:2 call15:1 call5:1 call8:3 call9:1 constant1:5 "
    "constant4:1 nothing:14 number:23 numbers1:1 numbers2:5 tensors3:1"
)
MEAN = counts(
    "activation2:9 activation3:9 call4:4 call5:3 call6:2 call8:1 call9:1 constant1:3 constant2:1 flag:2 "
    "nothing:21 number:8 numbers1:3 numbers2:5 tensors3:1"
)
ONE_TOKEN = counts(
    "activation2:10 activation3:8 call4:3 call5:4 call6:1 call7:1 call8:1 call9:1 constant1:3 constant2:1 "
    "nothing:20 number:8 numbers1:2 numbers2:3 tensors3:1"
)
# Without causal order the mask is computed from the padding: no layer has a constant for it.
BIDIRECTIONAL = counts(
    "activation0:1 activation2:4 activation4:2 call4:1 call5:3 call8:1 constant0:2 nothing:6 numbers0:1 "
    "numbers2:-2"
)
NO_CONSTANT = counts("constant3:-1 constant4:-1")
TABLES = counts("call9:2 constant2:4 number:4")
OPERATORS = (
    "quantized_decomposed::embedding_byte.dtype_out",
    "aten::add.out",
    "cortex_m::quantize_per_tensor.out",
    "aten::native_layer_norm.out",
    "cortex_m::quantized_conv2d_nhwc.out",
    "aten::slice_copy.Tensor_out",
    "cortex_m::transpose.out",
    "cortex_m::quantized_batch_matmul.out",
    "cortex_m::quantized_add.out",
    "cortex_m::softmax.out",
    "aten::cat.out",
    "cortex_m::dequantize_per_tensor.out",
    "cortex_m::quantized_activation.out",
    "dim_order_ops::_to_dim_order_copy.out",
    "aten::constant_pad_nd.out",
    "aten::sub.out",
    "aten::mul.out",
    "aten::sum.IntList_out",
    "aten::permute_copy.out",
    "aten::mm.out",
)
# Layers that add noise to the query.
NOISE_LAYERS = {"lowrank": 2, "pairwise": 1}
# Bytes per output channel: bias, multiplier and shift.  A layer without a bias has the last two.
CHANNEL, BIAS = 12, 4
# int8 results of an activation function for all int8 inputs.
LOOKUP = 256
POSITION = 8

Blocks = list[tuple[int, int]]
"""Query blocks of a layer, as (first, end)."""


def cortex_m_bytes(config: ModelConfig, blocks: Blocks) -> int:
    """Predict the bytes of a file without its constants.

    Args:
        blocks: the first and the end position of each block of queries, equal for all layers.
    """
    noise = config.noise.kind
    layer, further = Counter(LAYER), len(blocks) - 1
    for part, times in (
        (BLOCK, further),
        (MASK, len(blocks) if noise != "relative" else 0),
        (NOISE_LAYER, NOISE_LAYERS.get(noise, 0)),
        (NOISE_SUM, noise in NOISE_LAYERS),
        (NO_CONSTANT, not config.causal and noise != "relative"),
    ):
        for kind, count in part.items():
            layer[kind] += times * count
    total = Counter(TABLES)
    total.update(_model(config))
    if not config.causal:
        total.update(BIDIRECTIONAL)
    for kind, count in layer.items():
        total[kind] += config.n_layer * count
    program = base_bytes() + objects_bytes(total) + operators_bytes(OPERATORS) + segment_bytes()
    return program + padding([program], SEGMENT)


def _model(config: ModelConfig) -> Counter[str]:
    if config.is_language_model:
        return MODEL
    return MEAN if config.pooled_token == "mean" else ONE_TOKEN


def cortex_m_weights(config: ModelConfig, sizes: Sizes, precision_of: Precisions, blocks: Blocks) -> int:
    """Predict the bytes of all constants except the embedding tables.

    Low-rank and pairwise noise count as linear layers over all heads.  Relative noise counts as a bias of
    each block's scores.

    Args:
        sizes: element counts of the model's tensors.
        blocks: the first and the end position of each block of queries, equal for all layers.
    """
    total = sizes.linear_bytes(precision_of, CHANNEL, group_bytes=4)
    if config.is_language_model:
        total -= BIAS * sizes.linear[HEAD][0]
    elif precision_of["score"].stored is not None:
        # Scores are float32, whatever the recipe requests.
        out, inputs = sizes.linear["score"]
        total += 4 * out * inputs - out * (inputs + CHANNEL)
    total += 4 * config.n_embd * 2 * (2 * config.n_layer + 1)
    if config.activation_function != "relu":
        total += LOOKUP * config.n_layer
    scores = sum((high - low) * high for low, high in blocks)
    if config.causal and config.noise.kind != "relative":
        # All layers share the mask of each block.
        total += scores
    return total + sum(_noise(config, heads, scores) for heads, _ in config.layer_sizes)


def _noise(config: ModelConfig, heads: int, scores: int) -> int:
    width, without_bias = heads * config.head_size, CHANNEL - BIAS
    if config.noise.kind == "relative":
        return heads * scores
    if config.noise.kind == "pairwise":
        return width * width + without_bias * width
    if config.noise.kind == "lowrank":
        inside = heads * (config.noise.rank or 1)
        return 2 * width * inside + without_bias * (width + inside)
    return 0


def cortex_m_tables(table_bytes: int, length: int) -> int:
    """Predict the bytes of both embedding tables, and of the position numbers that the lookup reads.

    Args:
        table_bytes: bytes of both tables with their scales.
        length: tokens of a row.
    """
    return table_bytes + POSITION * length
