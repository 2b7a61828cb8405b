"""The recipes that XNNPACK accepts, and the memory of its artifacts."""

from dataclasses import replace

from nf_edge.backends.executorch.arena.arenas import ProgramMemory, matmul_memory
from nf_edge.backends.executorch.workspace import matmul_workspace
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.load_peak import packed_constants, packing_peak
from nf_edge.backends.mapped_pages import read_table_bytes
from nf_edge.backends.memory_plan import FILE, MemoryPlan, RuntimeMemory
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.backends.program_size.xnnpack_program import xnnpack_bytes
from nf_edge.backends.sme import packed_inputs
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.support import PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import Sizes, sizes_of
from nf_edge.core.device.processor import X86, Processor
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

LAYERS = (
    Kernel(4, (2, 3, 4), (32, 64, 128), ("int8_dynamic",)),
    # XNNPACK treats an int4 channel as one long group, so the inputs must be a multiple of 32.
    Kernel(4, (2, 3, 4), PER_CHANNEL, ("int8_dynamic",), multiple=32),
    Kernel(8, (5, 6, 7, 8), PER_CHANNEL, ("int8_dynamic",)),
    Kernel(8, (8,), PER_CHANNEL, ("int8_static",)),
)
# An operator of a product has two tables of kernels by rows (`gemm_types` in src/xnnpack/operator.h of
# github.com/google/XNNPACK): 16 pointers on x86-64, but 32 for each of 3 kinds of core on Arm with KleidiAI
# (`XNN_MAX_MR`, `XNN_MAX_UARCH_TYPES`).
ARM_PRODUCT = 2 * (3 * 32 - 16) * 8
# Products of one layer's noise: K A Bᵀ, or K P.
NOISE_PRODUCTS = {"lowrank": 2, "pairwise": 1}
# The token table and the position table, which are no products.
TABLES = 2


class XnnpackSpec(BackendSpec):
    support = Support(
        backend="xnnpack",
        runtime="executorch",
        layers=LAYERS,
        mixed_static="int8_per_channel",
        caches=("float32",),
        float_logits=False,
    )
    runtime_memory = RuntimeMemory(8_600_000, private=400_000, at_load=6_200_000)

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        cache = 4 * sizes.cache if input_shape.cached else 0
        memory, workspace = matmul_memory(config, input_shape), matmul_workspace(config, input_shape)
        return self._predicted(config, input_shape, recipe, sizes, cache, memory, workspace)

    def on(
        self,
        plan: MemoryPlan,
        config: ModelConfig,
        input_shape: InputShape,
        recipe: Recipe,
        processor: Processor,
    ) -> MemoryPlan:
        """The plan with the operators and packed inputs that XNNPACK allocates on a processor."""
        if plan.workspace is not None:
            packed = packed_inputs(config, input_shape, processor)
            plan = replace(plan, workspace=plan.workspace + packed)
        if plan.loaded is None or plan.load_peak is None or processor.architecture != X86:
            return plan
        smaller = self._products(config) * ARM_PRODUCT
        return replace(plan, loaded=plan.loaded - smaller, load_peak=plan.load_peak - smaller)

    def _products(self, config: ModelConfig) -> int:
        """The number of matrix products that XNNPACK computes: linear layers, attention and its noise."""
        in_layer = 2 + NOISE_PRODUCTS.get(config.noise.kind, 0)
        return len(config.matrix_shapes()) - TABLES + in_layer * config.n_layer

    def _resized(self, plan: MemoryPlan, config: ModelConfig, run: InputShape, recipe: Recipe) -> MemoryPlan:
        """The plan with fewer mapped pages of the embedding tables, for the shorter input shape `run`.

        The other parts stay: ExecuTorch allocates and clears the memory for the longest input at load.
        """
        longest = InputShape.of(recipe, config).length
        saved = read_table_bytes(plan.embeddings, config, longest)
        read = read_table_bytes(plan.embeddings, config, run.length)
        return replace(plan, mapped=plan.mapped - saved + read)

    def _program_bytes(self, config: ModelConfig, precision_of: Precisions, cache: CacheDtype | None) -> int:
        """Predict the bytes of a file without weights and tables; `cache` is None without a cache."""
        return xnnpack_bytes(config, precision_of, cache)

    def _predicted(
        self,
        config: ModelConfig,
        input_shape: InputShape,
        recipe: Recipe,
        sizes: Sizes,
        cache: int,
        memory: ProgramMemory,
        workspace: int,
    ) -> MemoryPlan:
        """Predict the memory plan of a program whose linear layers XNNPACK packs; `cache` is in bytes."""
        precision_of = precisions(recipe, config)
        # A channel has a float32 scale; a group has a bfloat16 scale.
        packed = sizes.linear_bytes(precision_of, channel_bytes=4, group_bytes=2) + 4 * sizes.biases
        # Scales of biases are in the file only.
        scales = 4 * sizes.static_channels(precision_of)
        # Norms and noise stay constants of the program.
        constants, tables = 4 * sizes.others, sizes.table_bytes(precision_of)
        program = self._program_bytes(config, precision_of, self.cache_dtype(config, input_shape, recipe))
        loaded = packed + sizes.packing_bytes(precision_of) + memory.method
        loaded += self._products(config) * ARM_PRODUCT
        return MemoryPlan(
            program=program,
            weights=packed + scales + constants,
            embeddings=tables,
            mapped=program + constants + read_table_bytes(tables, config, input_shape.length),
            loaded=loaded,
            cache=cache,
            arenas=memory.arena - cache,
            workspace=workspace,
            load_peak=packing_peak(program, loaded, memory.arena, packed_constants(sizes, precision_of)),
            notes=tuple(tied_twice(config)),
            counted=FILE,
        )


def tied_twice(config: ModelConfig) -> list[str]:
    """A list with one note: the file stores the tied embedding twice; empty if embeddings are not tied."""
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    return [
        f"the tied embedding ({size:,} values) is stored twice: once for the lookup, once as the head that "
        "XNNPACK packs"
    ]
