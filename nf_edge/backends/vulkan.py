"""ExecuTorch with the Vulkan delegate: the GPU of a phone, in float16.

What is left to ExecuTorch's own kernels is in float32.
"""

from typing import Any, ClassVar

from nf_edge.attention.forms import HIDDEN_IN_HALF, TWO_PRODUCTS, MatmulForm
from nf_edge.backends.base import Bounds, Plan
from nf_edge.backends.executorch import batch_problems
from nf_edge.backends.sizes import sizes_of
from nf_edge.backends.stand_in import HALF, StandInBackend, stand_in_for
from nf_edge.backends.xnnpack import TanhGelu, is_gelu_new
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.recipe import Recipe
from nf_edge.rules import Precisions, precisions, shares_table

REASONS = {
    "scalar_tensor": "a constant of one value",
    "sum": "the sum over tokens of what the last layer answers; the delegate's has other shapes",
}
# Bytes of the graph in the file, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 8_000, 10_000
NOTES = ("the driver takes memory of the GPU for shaders and packed weights, which only the device knows",)


class Vulkan(StandInBackend):
    name = "vulkan"
    library = "Vulkan"
    attention_form = TWO_PRODUCTS
    leaves = REASONS
    leaves_others = "the Vulkan delegate has no shader for it"
    operator_libraries: ClassVar[tuple[str, ...]] = ("vulkan_backend", "portable_ops_lib")
    notes = NOTES
    simulated = stand_in_for("Vulkan, which does not run here")

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = MatmulForm(hidden=HIDDEN_IN_HALF)
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
        if recipe.quantize is not None:
            problems.append("quantize is not for this backend, which computes in float16; leave it out")
        return problems

    def fate(self, module: str, wanted: Precisions) -> tuple[str, str] | None:
        return "float16", ""

    def partitioner(self, recipe: Recipe) -> Any:
        from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner

        return VulkanPartitioner({"force_fp16": True})

    def weight_bytes(self, file: Any) -> int:
        return sum(len(buffer) for buffer in file.named_data.buffers) if file.named_data else 0

    def predict(self, config: ModelConfig, bounds: Bounds, recipe: Recipe) -> Plan:
        sizes, wanted = sizes_of(config, bounds.length), precisions(recipe, config)
        # Half of what float32 takes.
        values = sizes.linear_bytes(wanted, 0, 0) + sizes.table_bytes(wanted)
        if shares_table(wanted, config):
            values -= sizes.token_bytes(wanted)
        weights = values // HALF + HALF * (sizes.biases + sizes.others)
        return self.predicted(sizes, PROGRAM_BASE + PROGRAM_LAYER * config.n_layer, weights)
