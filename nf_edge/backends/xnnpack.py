"""ExecuTorch with the XNNPACK delegate: the CPU of phones and boards."""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.base import ExecutorchBackend
from nf_edge.backends.executorch.program_file import constant_bytes, read_program
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.precisions import precisions
from nf_edge.backends.support import PER_CHANNEL, Kernel, Support
from nf_edge.backends.tensor_sizes import Sizes, sizes_of
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import TWO_PRODUCTS, MatmulForm

# The reason why XNNPACK's partitioner leaves each operator to ExecuTorch's kernels.
REASONS = {
    "native_layer_norm": "XNNPACK has no layer norm",
    "embedding": "XNNPACK has no table lookup",
    "embedding_2bit": "XNNPACK has no table lookup",
    "embedding_byte": "XNNPACK has no table lookup",
    "embedding_4bit": "XNNPACK has no table lookup",
    "index": "XNNPACK has no gather",
    "index_put": "it writes keys and values into the cache",
    "expand_copy": "XNNPACK has no broadcast copy",
    "split_with_sizes_copy": "the partitioner does not support split",
    "sum": "the partitioner does not support sum",
    "_to_dim_order_copy": "its input is integers, which XNNPACK does not support",
}
LAYERS = (
    Kernel(4, (2, 3, 4), (32, 64, 128), ("int8_dynamic",)),
    # XNNPACK treats an int4 channel as one long group, so the inputs must be a multiple of 32.
    Kernel(4, (2, 3, 4), PER_CHANNEL, ("int8_dynamic",), multiple=32),
    Kernel(8, (5, 6, 7, 8), PER_CHANNEL, ("int8_dynamic",)),
    Kernel(8, (8,), PER_CHANNEL, ("int8_static",)),
)
# Bytes of a program's graph, fitted to programs of 1 to 12 layers.
PROGRAM_BASE, PROGRAM_LAYER = 5_000, 20_000
# Heap bytes per layer of a loaded method and its delegates, fitted to the same programs.
METHOD_LAYER = 105_000


class TanhGelu(nn.Module):
    """gelu_new written out, because XNNPACK computes `gelu(approximate="tanh")` as the erf form.

    The code uses sigmoid 2u instead of (1 + tanh u) / 2, which saves three operators.
    """

    SLOPE = 2 * math.sqrt(2 / math.pi)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * (self.SLOPE + 0.044715 * self.SLOPE * (x * x)))


def outputs_one_token(config: ModelConfig, input_shape: InputShape) -> bool:
    """Whether the last layer computes only one token: the last one for a language model with a cache, or the
    token that a classifier pools.
    """
    if config.is_language_model:
        return input_shape.cached
    return config.outputs_one_token


def is_gelu_new(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "tanh"


class Xnnpack(ExecutorchBackend):
    support = Support(
        backend="xnnpack",
        runtime="executorch",
        layers=LAYERS,
        mixed_static="int8_per_channel",
        caches=("float32",),
        float_logits=False,
    )
    library = "XNNPACK"
    attention_form = TWO_PRODUCTS
    leaves = REASONS
    leaves_others = "it works on integers, booleans or shapes, which XNNPACK does not support"
    operator_libraries: ClassVar[tuple[str, ...]] = (
        "xnnpack_backend",
        "optimized_native_cpu_ops_lib",
        "quantized_ops_lib",
    )
    process_bytes = 8_600_000

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = MatmulForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()
            if is_gelu_new(block.mlp.act):
                block.mlp.act = TanhGelu()

    def partitioner(self, recipe: Recipe) -> Any:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return XnnpackPartitioner()

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        content = path.read_bytes()
        file = read_program(path, content)
        method = file.program.execution_plan[0]
        constants, embeddings = constant_bytes(file, config)
        # The delegate's named data; it packs all of them at load.
        packed = sum(len(buffer) for buffer in file.named_data.buffers) if file.named_data else 0
        weights = constants - embeddings + packed
        program = len(content) - weights - embeddings
        cache = executorch_decoder.cache_bytes(method)
        return MemoryPlan(
            program=program,
            weights=weights,
            embeddings=embeddings,
            # The pages of the named data are freed after the load.
            mapped=len(content) - packed,
            loaded=packed + METHOD_LAYER * config.n_layer,
            cache=cache,
            # The cache is in the arenas.
            arenas=sum(method.non_const_buffer_sizes) - cache,
            workspace=None,
            notes=tuple(_tied_twice(config)),
        )

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        # Scores before and after the softmax, and tensors of the residual stream's size.
        if config.n_layer > 1 or not outputs_one_token(config, input_shape):
            arenas, workspace = 2 * sizes.scores + 4 * sizes.hidden, max(3 * sizes.inner, sizes.scores)
        else:
            arenas, workspace = 2 * sizes.scores // input_shape.length + 5 * sizes.hidden, 3 * sizes.hidden
        arenas *= 4
        if config.noise.kind == "relative":
            # The gathered bias twice and once more with the mask, and two tables of distances.
            arenas += 4 * 3 * sizes.scores + 8 * 2 * input_shape.length**2
        cache = 4 * sizes.cache if input_shape.cached else 0
        return self._predicted(config, recipe, sizes, cache, arenas, 4 * workspace)

    def _predicted(
        self, config: ModelConfig, recipe: Recipe, sizes: Sizes, cache: int, arenas: int, workspace: int
    ) -> MemoryPlan:
        """The predicted memory plan of a program with linear layers that XNNPACK packs."""
        precision_of = precisions(recipe, config)
        # A channel has a float32 scale; a group has a bfloat16 scale.
        packed = sizes.linear_bytes(precision_of, channel_bytes=4, group_bytes=2) + 4 * sizes.biases
        # Norms and noise stay constants of the program.
        constants, tables = 4 * sizes.others, sizes.table_bytes(precision_of)
        program = PROGRAM_BASE + PROGRAM_LAYER * config.n_layer
        return MemoryPlan(
            program=program,
            weights=packed + constants,
            embeddings=tables,
            mapped=program + constants + tables,
            loaded=packed + METHOD_LAYER * config.n_layer,
            cache=cache,
            arenas=arenas,
            workspace=workspace,
            notes=tuple(_tied_twice(config)),
        )


def _tied_twice(config: ModelConfig) -> list[str]:
    if not (config.is_language_model and config.tie_word_embeddings):
        return []
    size = config.vocab_size * config.n_embd
    return [
        f"the tied embedding ({size:,} values) is stored twice: once for the lookup, once as the head that "
        "XNNPACK packs"
    ]
