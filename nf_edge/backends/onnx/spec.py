"""The recipes that ONNX Runtime accepts on a CPU, and the memory of its artifacts."""

from dataclasses import replace

from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan, RuntimeMemory
from nf_edge.backends.onnx.memory import predicted
from nf_edge.backends.onnx.size import float32_bytes, near_limit, require_size
from nf_edge.backends.precisions import HEAD, precisions
from nf_edge.backends.program_size.onnx_layers import onnx_bytes
from nf_edge.backends.sme import packed_inputs
from nf_edge.backends.spec import BackendSpec
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.core.device.processor import Processor
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

LAYERS = (
    Kernel(2, (2,), GROUPS, ("none", "int8_dynamic")),
    Kernel(4, (3, 4), GROUPS, ("none", "int8_dynamic")),
    Kernel(8, (5, 6, 7, 8), GROUPS, ("none", "int8_dynamic")),
    Kernel(8, (2, 3, 4, 5, 6, 7, 8), PER_CHANNEL, ("int8_dynamic",)),
    Kernel(8, (8,), PER_CHANNEL, ("int8_static",)),
)


class OnnxCpuSpec(BackendSpec):
    support = Support(
        backend="onnx_cpu",
        runtime="onnxruntime",
        layers=LAYERS,
        any_batch=True,
        zero_points=True,
        caches=("float32", "int8"),
        static_cache=True,
        signed_scales=True,
        row_scales=True,
    )
    runtime_memory = RuntimeMemory(29_700_000, private=7_700_000, at_load=28_800_000)

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None or recipe.quantize.kv_cache == "float32":
            return super().cache_dtype(config, input_shape, recipe)
        if takes_group_query(config.head_size):
            return CacheDtype("int8", static=True)
        return CacheDtype(
            "float32",
            "ONNX Runtime has an int8 cache only for head sizes that are multiples of 8; this model's is "
            f"{config.head_size}",
        )

    def require_size(self, config: ModelConfig, recipe: Recipe) -> None:
        # A quantized head is a separate matrix until it becomes the shared table again.
        precision_of, input_shape = precisions(recipe, config), InputShape.of(recipe, config)
        head = config.is_language_model and precision_of[HEAD].stored is not None
        cache = self.cache_dtype(config, input_shape, recipe)
        weights = float32_bytes(config, head_twice=head)
        # Counting the graph takes milliseconds, so a model far below the limit is not counted.
        if near_limit(weights, config.n_layer):
            require_size(weights, onnx_bytes(config, input_shape, precision_of, cache))

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        return predicted(config, input_shape, recipe, self.cache_dtype(config, input_shape, recipe))

    def on(
        self,
        plan: MemoryPlan,
        config: ModelConfig,
        input_shape: InputShape,
        recipe: Recipe,
        processor: Processor,
    ) -> MemoryPlan:
        """The plan with the inputs that MLAS packs on a core with SME."""
        if plan.arenas is None:
            return plan
        return replace(plan, arenas=plan.arenas + packed_inputs(config, input_shape, processor))


def takes_group_query(head_size: int) -> bool:
    """Whether ONNX Runtime's `GroupQueryAttention` supports this head size.

    Only this operator has an int8 cache.
    """
    return head_size % 8 == 0
