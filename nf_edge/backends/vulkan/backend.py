"""ExecuTorch with the Vulkan delegate: the GPU of a phone, in float16; weights may be int8 or int4.

Operators left to ExecuTorch's kernels compute in float32.
"""

from typing import Any, ClassVar

from nf_edge.backends.executorch.compile_only import CompileOnlyBackend, reference_executor_for
from nf_edge.backends.vulkan.spec import VulkanSpec
from nf_edge.backends.xnnpack.backend import TanhGelu, is_gelu_new
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import NoiseFormer
from nf_edge.model.attention_forms import HIDDEN_IN_HALF, TWO_PRODUCTS, FloatMaskForm


class Vulkan(VulkanSpec, CompileOnlyBackend):
    library = "Vulkan"
    attention_form = TWO_PRODUCTS
    leaves_others = "the Vulkan delegate has no shader for it, for these shapes, or for integers"
    operator_libraries: ClassVar[tuple[str, ...]] = ("vulkan_backend", "portable_ops_lib")
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
