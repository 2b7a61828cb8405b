"""The recipes that the backend with nf-edge's kernels accepts, and the memory of its artifacts."""

from dataclasses import replace

from nf_edge.backends.executorch.arena.arenas import fused_memory
from nf_edge.backends.executorch.workspace import fused_workspace
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.nf_cpu.scratch import scratch_bytes
from nf_edge.backends.precisions import Precisions, precisions
from nf_edge.backends.program_size.nf_program import nf_bytes
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack.spec import TABLES, XnnpackSpec
from nf_edge.core.device.processor import ANY, Processor
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig


class NfCpuSpec(XnnpackSpec):
    support = replace(
        XnnpackSpec.support,
        backend="nf_cpu",
        own_kernels=True,
        attention=("float32", "int8"),
        caches=("float32", "int8"),
    )
    runtime_memory = RuntimeMemory(7_600_000, private=400_000, at_load=6_200_000)

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None:
            return super().cache_dtype(config, input_shape, recipe)
        return CacheDtype(recipe.quantize.kv_cache)

    def _program_bytes(self, config: ModelConfig, precision_of: Precisions, cache: CacheDtype | None) -> int:
        return nf_bytes(config, precision_of, cache)

    def _products(self, config: ModelConfig) -> int:
        """The number of linear layers; nf-edge's operators compute attention and its noise."""
        return len(config.matrix_shapes()) - TABLES

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        kept = self.cache_dtype(config, input_shape, recipe)
        cache, tokens = 0, sizes.cache // config.head_size
        if kept is not None:
            cache = 4 * sizes.cache if kept.dtype == "float32" else sizes.cache + 4 * tokens
        scratch = _scratch(config, input_shape, recipe, ANY)
        if _int8(recipe) and (kept is None or kept.dtype == "float32"):
            # Keys and values of one layer, quantized for the products, with one scale each.
            scratch += (sizes.cache + 4 * tokens) // config.n_layer
        memory = fused_memory(config, input_shape, kept is not None and kept.dtype == "int8")
        workspace = fused_workspace(config, input_shape, precisions(recipe, config)) + scratch
        return self._predicted(config, input_shape, recipe, sizes, cache, memory, workspace)

    def on(
        self,
        plan: MemoryPlan,
        config: ModelConfig,
        input_shape: InputShape,
        recipe: Recipe,
        processor: Processor,
    ) -> MemoryPlan:
        """The plan with XNNPACK's operators, and the scratch memory of nf-edge's kernels and threads."""
        plan = super().on(plan, config, input_shape, recipe, processor)
        if plan.workspace is None:
            return plan
        counted, actual = (_scratch(config, input_shape, recipe, each) for each in (ANY, processor))
        return replace(plan, workspace=plan.workspace - counted + actual)


def _int8(recipe: Recipe) -> bool:
    return recipe.quantize is not None and recipe.quantize.attention == "int8"


def _scratch(config: ModelConfig, input_shape: InputShape, recipe: Recipe, processor: Processor) -> int:
    distances = 2 * input_shape.length if config.noise.kind == "relative" else 0
    return scratch_bytes(config.head_size, _int8(recipe), distances, processor)
