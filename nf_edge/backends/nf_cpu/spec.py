"""The recipes that the backend with nf-edge's kernels accepts, and the memory of its artifacts."""

from dataclasses import replace

from nf_edge.backends.executorch.arena.arenas import fused_memory
from nf_edge.backends.executorch.workspace import fused_workspace
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.backends.program_size.nf_program import nf_bytes
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack.spec import XnnpackSpec
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# Scratch bytes of the kernel per element of a head, with its widest vectors.  Each thread needs this much; a
# prediction assumes `THREADS` threads.
TILE_COLUMN = {"float32": 2_800, "int8": 2_000}
THREADS = 2


class NfCpuSpec(XnnpackSpec):
    support = replace(
        XnnpackSpec.support,
        backend="nf_cpu",
        own_kernels=True,
        attention=("float32", "int8"),
        caches=("float32", "int8"),
    )
    process_bytes = 7_600_000
    private_process_bytes = 400_000

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None:
            return super().cache_dtype(config, input_shape, recipe)
        return CacheDtype(recipe.quantize.kv_cache)

    def _program_bytes(self, config: ModelConfig, precision_of: Precisions, cache: CacheDtype | None) -> int:
        return nf_bytes(config, precision_of, cache)

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        kept = self.cache_dtype(config, input_shape, recipe)
        cache, tokens = 0, sizes.cache // config.head_size
        if kept is not None:
            cache = 4 * sizes.cache if kept.dtype == "float32" else sizes.cache + 4 * tokens
        int8 = recipe.quantize is not None and recipe.quantize.attention == "int8"
        scratch = THREADS * TILE_COLUMN["int8" if int8 else "float32"] * config.head_size
        if int8 and (kept is None or kept.dtype == "float32"):
            # Keys and values of one layer, quantized for the products, with one scale each.
            scratch += (sizes.cache + 4 * tokens) // config.n_layer
        memory = fused_memory(config, input_shape, kept is not None and kept.dtype == "int8")
        workspace = fused_workspace(config, input_shape, precisions(recipe, config)) + scratch
        return self._predicted(config, input_shape, recipe, sizes, cache, memory, workspace)
