"""ExecuTorch with the Vulkan delegate: the GPU of a phone, in float16; weights may be int8 or int4.

Operators left to ExecuTorch's kernels compute in float32.
"""

import math
from typing import Any, ClassVar

from nf_edge.backends.executorch.compile_only import HALF, CompileOnlyBackend, reference_executor_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack import TanhGelu, is_gelu_new
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import HIDDEN_IN_HALF, TWO_PRODUCTS, FloatMaskForm

# Bytes of the graph in the file, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 9_000, 12_500
NOTES = ("the GPU driver's memory for shaders and packed weights can only be measured on the device",)


class Vulkan(CompileOnlyBackend):
    support = Support(
        backend="vulkan",
        runtime="executorch",
        layers=(Kernel(4, (2, 3, 4), (32, 64, 128)), Kernel(8, (5, 6, 7, 8), PER_CHANNEL)),
        tables=(Kernel(4, (2, 3, 4), GROUPS),),
        # With rows of any length, each layer's broadcasts would run on the CPU.
        dynamic_length=False,
        channels=4,
    )
    library = "Vulkan"
    attention_form = TWO_PRODUCTS
    leaves_others = "the Vulkan delegate has no shader for it, for these shapes, or for integers"
    operator_libraries: ClassVar[tuple[str, ...]] = ("vulkan_backend", "portable_ops_lib")
    notes = NOTES
    reference_executor = reference_executor_for("Vulkan, which does not run here")

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = FloatMaskForm(hidden=HIDDEN_IN_HALF)
        for block in model.transformer.blocks:
            block.attn.fold_scale()
            if is_gelu_new(block.mlp.act):
                block.mlp.act = TanhGelu()

    def partitioner(self, recipe: Recipe) -> Any:
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner({"force_fp16": True})

    def weight_bytes(self, file: Any) -> int:
        return sum(len(buffer) for buffer in file.named_data.buffers) if file.named_data else 0

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        weights = sizes.linear_bytes(precision_of, HALF, HALF, HALF) + sizes.table_bytes(precision_of, HALF)
        if shares_table(precision_of, config):
            # A tied head and the token table share their codes in the file, but have separate scales.
            weights -= math.prod(sizes.tokens) * (precision_of[TOKENS].stored or 8 * HALF) // 8
        weights += HALF * (sizes.biases + sizes.others)
        return self.predicted(sizes, PROGRAM_BASE + PROGRAM_LAYER * config.n_layer, weights)
