"""The recipes that the backend with nf-edge's kernels accepts, and the memory of its artifacts."""

from dataclasses import replace

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack.spec import XnnpackSpec, outputs_one_token
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

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None:
            return super().cache_dtype(config, input_shape, recipe)
        return CacheDtype(recipe.quantize.kv_cache)

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
        # The outputs of norm and projection.  Layers before the last also need the residual stream and the
        # output of attention.  The last layer computes one token, so it needs little more.
        parts = 2 if config.attention == "symmetric" else 3
        arenas, workspace = (1 + parts) * sizes.hidden, 0
        if config.n_layer > 1 or not outputs_one_token(config, input_shape):
            arenas, workspace = (3 + parts) * sizes.hidden, 2 * sizes.inner
            if config.activation_function == "gelu_new":
                # GELU is between two XNNPACK layers, which keep copies of the residual stream.
                arenas, workspace = max(arenas, sizes.hidden + 2 * sizes.inner), 2 * sizes.hidden
        return self._predicted(config, recipe, sizes, cache, 4 * arenas, 4 * workspace + scratch)
