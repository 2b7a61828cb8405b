"""Predict the bytes of a `.pte` of backend cortex_m: of its program, and of its constants.

The objects are those of the program's operator calls.  There are no delegates.
"""

from collections import Counter
from collections.abc import Sequence

from nf_edge.backends.precisions import HEAD, Precisions
from nf_edge.backends.program_size.executorch import (
    SEGMENT,
    base_bytes,
    objects_bytes,
    operators_bytes,
    padding,
    segment_bytes,
)
from nf_edge.backends.static_shape.host_calls import INPUTS, Call
from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.backends.tensor_sizes import Sizes
from nf_edge.model.config import ModelConfig

# Bytes per output channel: bias, multiplier and shift.  A layer without a bias has the last two.
CHANNEL, BIAS = 12, 4
# int8 results of an activation function for all int8 inputs.
LOOKUP = 256
POSITION = 8

Blocks = list[tuple[int, int]]
"""Query blocks of a layer, as (first, end)."""


def cortex_m_bytes(calls: Sequence[Call]) -> int:
    """Predict the bytes of a file without its constants, from the operator calls of its program."""
    objects = Counter({"activation2": INPUTS})
    for call in calls:
        objects[f"call{call.arguments}"] += 1
        objects.update(f"activation{rank}" for rank in call.ranks)
        objects.update(f"constant{rank}" for rank in call.constants)
        objects.update(f"numbers{length}" for length in call.lists)
        objects.update(f"tensors{length}" for length in call.tensor_lists)
        # Each integer of a list is a number, too.
        objects["number"] += call.scalars - call.absent + sum(call.lists)
        objects["nothing"] += call.absent
    operators = dict.fromkeys(call.operator for call in calls)
    program = base_bytes() + objects_bytes(objects) + operators_bytes(operators) + segment_bytes()
    return program + padding([program], SEGMENT)


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
    # The last layer may have one query, which needs no mask; relative noise has a score for each key.
    last = scores if output_tokens_of(config) == "all" else blocks[-1][1]
    layers = [scores] * (config.n_layer - 1) + [last]
    if config.causal and config.noise.kind != "relative" and scores in layers:
        # All layers share the mask of each block.
        total += scores
    pairs = zip(config.layer_sizes, layers, strict=True)
    return total + sum(_noise(config, heads, layer) for (heads, _), layer in pairs)


def _noise(config: ModelConfig, heads: int, scores: int) -> int:
    """Bytes of a layer's noise; `scores` is the number of attention scores of a head."""
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
