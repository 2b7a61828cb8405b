"""The recipes that the Ethos-U backend accepts, and the memory of its artifacts."""

from collections.abc import Iterable, Iterator

from nf_edge.backends.ethos_u.firmware import ethos_u_firmware
from nf_edge.backends.ethos_u.target import TARGETS, has_matrix_unit
from nf_edge.backends.executorch.method_allocator import temporary_bytes
from nf_edge.backends.firmware import Firmware
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.precisions import precisions
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.static_shape.host_calls import (
    Call,
    answer,
    embeddings,
    hidden,
    last_token,
    method_bytes,
)
from nf_edge.backends.static_shape.output_tokens import output_tokens_of
from nf_edge.backends.static_shape.spec import (
    FIRMWARE_NOTE,
    Pools,
    account,
    query_blocks,
    static_activations,
    static_support,
)
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.precision import Activations
from nf_edge.core.recipe.recipe import Recipe, target_of
from nf_edge.model import ModelConfig

# Queries per block in a causal layer.
ROWS = 16
# Bytes of a program without its delegate, and of the NPU's commands.  Fitted to the bundled classifiers.
PROGRAM_BASE, COMMANDS_LAYER, COMMANDS_ROW = 6_000, 6_000, 110
# Bytes that Vela stores per output channel in addition to the weights: a bias and a scale.
CHANNEL_BYTES = 10
# Bytes of a lookup table and of an activation value.
TABLE_BYTES: dict[Activations, int] = {"int8_static": 256, "int16_static": 2048}
ACTIVATION_BYTES: dict[Activations, int] = {"int8_static": 1, "int16_static": 2}
# Lookup tables per layer: squares and roots of two norms, and the MLP's activation.  Per block of queries:
# exp and reciprocal.  For the last norm: squares and roots.
TABLES_LAYER, TABLES_BLOCK, TABLES_LAST = 5, 2, 2


class EthosUSpec(BackendSpec):
    support = static_support("ethos_u", TARGETS, ("int8_static", "int16_static"))
    runtime_memory = RuntimeMemory()

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        precision_of = precisions(recipe, config)
        activations = static_activations(recipe)
        layers = _queries(config, input_shape.length)
        tables = TABLES_LAST + sum(TABLES_LAYER + TABLES_BLOCK * len(queries) for queries in layers)
        weights = (
            sizes.linear_bytes(precision_of, CHANNEL_BYTES, group_bytes=4) + tables * TABLE_BYTES[activations]
        )
        table_bytes = sizes.token_bytes(precision_of) + 4 * sizes.hidden
        program = PROGRAM_BASE + COMMANDS_LAYER * config.n_layer
        # The NPU's memory is the largest of three: the inner layer with input and output; Q, K, V, results
        # and scores; a language model's logits and their inputs.
        pairs = max(high * (high - low) for queries in layers for low, high in queries)
        scores = pairs * max(heads for heads, _ in config.layer_sizes)
        logits = input_shape.length * config.vocab_size if config.is_language_model else 0
        size = ACTIVATION_BYTES[activations]
        workspace = size * max(
            sizes.inner + 2 * sizes.hidden, 4 * sizes.hidden + scores, sizes.hidden + logits
        )
        if not has_matrix_unit(target_of(recipe)):
            # These targets multiply two activations row by row, with separate commands and 32-bit sums for
            # each row.
            program += COMMANDS_ROW * sum(
                heads * (high + config.head_size)
                for (heads, _), queries in zip(config.layer_sizes, layers, strict=True)
                for _, high in queries
            )
            workspace += 4 * sizes.hidden
        # The host holds embeddings in float32 twice and the NPU's inputs, or the NPU's logits and their
        # float32 copy.
        arenas = max((2 * 4 + 1) * sizes.hidden, (4 + size) * logits)
        calls = list(_host_calls(config))
        arguments = temporary_bytes(call.arguments for call in calls)
        pools = Pools(arenas, method_bytes(calls, delegates=1), max(workspace, arguments))
        firmware = self.firmware((call.operator for call in calls), input_shape.length)
        return account(program, weights, table_bytes, pools, firmware, (FIRMWARE_NOTE + firmware.note,))

    def firmware(self, operators: Iterable[str], length: int) -> Firmware:
        return ethos_u_firmware(length)


def _host_calls(config: ModelConfig) -> Iterator[Call]:
    """The operator calls that the host executes, in order; one of them calls the NPU's delegate."""
    output = output_tokens_of(config)
    yield from embeddings(config)
    hides = output == "last" or not config.causal
    if hides:
        yield from hidden()
    if output == "last":
        yield from last_token()
    inputs = 1 + hides + (output == "last")
    for _ in range(inputs):
        yield Call("quantized_decomposed::quantize_per_tensor.out", 8, (3,), scalars=5)
    yield Call("delegate EthosUBackend", inputs + 1, (3,))
    yield Call("quantized_decomposed::dequantize_per_tensor.out", 9, (3,), scalars=6)
    if not config.is_language_model:
        yield from answer(config, output)
        yield Call("aten::mul.out", 4, (1, 2))
        yield Call("aten::add.out", 5, (1, 2), scalars=1)


def _queries(config: ModelConfig, length: int) -> list[list[tuple[int, int]]]:
    """For each layer, the first and the end position of each block of queries.

    If only one token is output, the last layer has one query, which attends to all keys.
    """
    blocks = query_blocks(length, ROWS if config.causal else None)
    last = blocks if output_tokens_of(config) == "all" else [(length - 1, length)]
    return [*[blocks] * (config.n_layer - 1), last]
