"""The recipes that Core ML accepts, and the memory of its artifacts."""

import math

from nf_edge.backends.executorch.compile_only_spec import HALF, CompileOnlySpec
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import precisions, shares_table
from nf_edge.backends.support import PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.core.recipe.precision import Precision
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig

# Bytes of the graph in the file, fitted to the bundled models.
PROGRAM_BASE, PROGRAM_LAYER = 30_000, 30_000
NOTES = (
    "embedding tables are in the delegate, and their bytes count as its weights",
    "the memory that Core ML uses to compile and load the model can only be measured on the device",
)


class CoreMlSpec(CompileOnlySpec):
    support = Support(
        backend="coreml",
        runtime="executorch",
        layers=(Kernel(8, (8,), PER_CHANNEL), Kernel(4, (4,), (32,))),
        tables=(),
        # The Neural Engine needs rows of one length.
        dynamic_length=False,
        rules=False,
        methods=("nearest",),
    )
    notes = NOTES

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes, precision_of = sizes_of(config, input_shape.length), precisions(recipe, config)
        tables = HALF * (math.prod(sizes.tokens) + math.prod(sizes.positions))
        constants = HALF * (sizes.biases + sizes.others)
        if compression_of(recipe) is None:
            linear = HALF * sum(math.prod(shape) for shape in sizes.linear.values())
        else:
            linear = sizes.linear_bytes(precision_of, channel_bytes=HALF, group_bytes=HALF)
        if shares_table(precision_of, config):
            tables = 0
        program = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        return self._predicted(config, input_shape, sizes, program, linear + constants + tables)


def compression_of(recipe: Recipe) -> Precision | None:
    """The precision of all compressed weights; None if weights stay float16."""
    return None if recipe.quantize is None else recipe.quantize.layer(None)
