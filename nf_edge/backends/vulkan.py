"""ExecuTorch with the Vulkan delegate: the GPU of a phone, in float16; weights may be int8 or int4.

What is left to ExecuTorch's own kernels is in float32.
"""

import math
from typing import Any, ClassVar

from nf_edge.backends.base import InputShape, MemoryPlan
from nf_edge.backends.executorch.base import batch_problems
from nf_edge.backends.executorch.compile_only import HALF, StandInBackend, stand_in_for
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack import TanhGelu, is_gelu_new
from nf_edge.core.recipe.precision import TOKENS, Precision, bits_of
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import HIDDEN_IN_HALF, TWO_PRODUCTS, FloatMaskForm

# Bytes of the graph in the file, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 9_000, 12_500
NOTES = ("the driver takes memory of the GPU for shaders and packed weights, which only the device knows",)


class Vulkan(StandInBackend):
    name = "vulkan"
    library = "Vulkan"
    attention_form = TWO_PRODUCTS
    leaves_others = "the Vulkan delegate has no shader for it, of these shapes or of integers"
    operator_libraries: ClassVar[tuple[str, ...]] = ("vulkan_backend", "portable_ops_lib")
    notes = NOTES
    simulated = stand_in_for("Vulkan, which does not run here")

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = FloatMaskForm(hidden=HIDDEN_IN_HALF)
        for block in model.transformer.blocks:
            block.attn.fold_scale()
            if is_gelu_new(block.mlp.act):
                block.mlp.act = TanhGelu()

    def problems(self, recipe: Recipe) -> list[str]:
        problems = batch_problems(recipe)
        if recipe.shapes.length == "dynamic":
            problems.append(
                "shapes.length is dynamic, but then broadcasts leave the GPU in every layer; write full"
            )
        quantize = recipe.quantize
        if quantize is None:
            return problems
        for where, wanted in quantize.asked:
            if problem := _no_kernel(wanted):
                problems.append(f"{where}: {problem}")
        tables = [quantize.embeddings, *(rule.weights for rule in quantize.rules if rule.modules == TOKENS)]
        if any(dtype != "float32" and bits_of(dtype) > 4 for dtype in tables):
            problems.append(
                "quantize.embeddings: the GPU has a lookup for int4 and none for int8; write int4 or float32"
            )
        if (quantize.attention, quantize.kv_cache) != ("float32", "float32"):
            problems.append("quantize.attention and kv_cache are for other backends; leave them out")
        return problems

    def partitioner(self, recipe: Recipe) -> Any:
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner({"force_fp16": True})

    def weight_bytes(self, file: Any) -> int:
        return sum(len(buffer) for buffer in file.named_data.buffers) if file.named_data else 0

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, wanted = sizes_of(config, input_shape.length), precisions(recipe, config)
        weights = sizes.linear_bytes(wanted, HALF, HALF, HALF) + sizes.table_bytes(wanted, HALF)
        if shares_table(wanted, config):
            # The codes are stored once, and the scales of each.
            weights -= math.prod(sizes.tokens) * (wanted[TOKENS].stored or 8 * HALF) // 8
        weights += HALF * (sizes.biases + sizes.others)
        return self.predicted(sizes, PROGRAM_BASE + PROGRAM_LAYER * config.n_layer, weights)


def _no_kernel(wanted: Precision) -> str:
    """Why the delegate has no such linear layer, and the fix; "" where it has."""
    if wanted.bits is None:
        return ""
    if wanted.activations != "none":
        return (
            f"activations are {wanted.activations}, but the GPU multiplies rounded weights with float16; "
            "write none"
        )
    if wanted.group and wanted.bits > 4:
        return f"the GPU has groups of int4, and int{wanted.bits} is more; write per_channel"
    if wanted.group == 16:
        return "the GPU has groups of 32 and its multiples only; write group_32"
    if wanted.group is None and wanted.bits <= 4:
        return f"the GPU has int8 per_channel, and int{wanted.bits} by groups; write group_32"
    return ""
