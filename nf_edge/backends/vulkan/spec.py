"""The recipes that Vulkan accepts, and the memory of its artifacts."""

import math

from nf_edge.backends.executorch.compile_only_spec import HALF, CompileOnlySpec
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.support import GROUPS, PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.precision import TOKENS
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# Bytes of the graph in the file, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 9_000, 12_500
NOTES = ("the GPU driver's memory for shaders and packed weights can only be measured on the device",)


class VulkanSpec(CompileOnlySpec):
    support = Support(
        backend="vulkan",
        runtime="executorch",
        layers=(Kernel(4, (2, 3, 4), (32, 64, 128)), Kernel(8, (5, 6, 7, 8), PER_CHANNEL)),
        tables=(Kernel(4, (2, 3, 4), GROUPS),),
        # With rows of any length, each layer's broadcasts would run on the CPU.
        dynamic_length=False,
        channels=4,
    )
    notes = NOTES

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        weights = sizes.linear_bytes(precision_of, HALF, HALF, HALF) + sizes.table_bytes(precision_of, HALF)
        if shares_table(precision_of, config):
            # A tied head and the token table share their codes in the file, but have separate scales.
            weights -= math.prod(sizes.tokens) * (precision_of[TOKENS].stored or 8 * HALF) // 8
        weights += HALF * (sizes.biases + sizes.others)
        program = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        return self._predicted(config, input_shape, sizes, program, weights)
