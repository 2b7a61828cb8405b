"""The recipes that the Cortex-M backend accepts, and the memory of its artifacts."""

from collections.abc import Iterable

from nf_edge.backends.cortex_m.calls import calls_of
from nf_edge.backends.cortex_m.firmware import cortex_m_firmware
from nf_edge.backends.executorch.method_allocator import temporary_bytes
from nf_edge.backends.firmware import Firmware
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import FILE, MemoryPlan, RuntimeMemory
from nf_edge.backends.precisions import precisions
from nf_edge.backends.program_size.cortex_m_program import (
    cortex_m_bytes,
    cortex_m_tables,
    cortex_m_weights,
)
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.static_shape.host_calls import method_bytes
from nf_edge.backends.static_shape.spec import FIRMWARE_NOTE, Pools, account, query_blocks, static_support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# For each target, a core with its vector instructions.  These decide how much scratch memory the CMSIS-NN
# kernels need.
CORES = {"cortex-m-dsp": "cortex-m33", "cortex-m-mve": "cortex-m55"}
# Queries per block in a causal layer.  Each block stores its own copy of keys and values.
ROWS = 32


class CortexMSpec(BackendSpec):
    support = static_support("cortex_m", tuple(CORES))
    runtime_memory = RuntimeMemory()

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        precision_of = precisions(recipe, config)
        queries = query_blocks(input_shape.length, ROWS if config.causal else None)
        blocks = len(queries)
        weights = cortex_m_weights(config, sizes, precision_of, queries)
        calls = calls_of(config, input_shape, ROWS)
        program = cortex_m_bytes(calls)
        tables = cortex_m_tables(sizes.table_bytes(precision_of), input_shape.length)
        # The largest of four: both tables' rows and their sum in float32, with int8 activations and token
        # ids; the inner layer before and after GELU; Q, K, V and scores before and after masking; logits.
        logits = 5 * input_shape.length * config.vocab_size if config.is_language_model else 0
        arenas = max(
            (3 * 4 + 1) * sizes.hidden + 8 * input_shape.length,
            2 * sizes.inner + sizes.hidden,
            2 * sizes.scores // blocks + 5 * sizes.hidden,
            logits,
        )
        pools = Pools(arenas, method_bytes(calls), temporary_bytes(call.arguments for call in calls))
        firmware = self.firmware((call.operator for call in calls), input_shape.length)
        notes = (FIRMWARE_NOTE + firmware.note,)
        return account(program, weights, tables, pools, firmware, notes, counted=FILE)

    def firmware(self, operators: Iterable[str], length: int) -> Firmware:
        return cortex_m_firmware(operators, length)
