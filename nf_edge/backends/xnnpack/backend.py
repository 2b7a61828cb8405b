"""ExecuTorch with the XNNPACK delegate: the CPU of phones and boards."""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from nf_edge.backends.coverage.coverage import Coverage
from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.arena.arenas import method_bytes
from nf_edge.backends.executorch.base import ExecutorchBackend
from nf_edge.backends.executorch.fast_lowering import needed_steps_only
from nf_edge.backends.executorch.program_file import constant_bytes, mapped, read_program
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.load_peak import packing_peak
from nf_edge.backends.mapped_pages import read_table_bytes
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.xnnpack.spec import XnnpackSpec, tied_twice
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import ModelConfig, NoiseFormer
from nf_edge.model.attention_forms import TWO_PRODUCTS, MatmulForm
from nf_edge.model.checkpoint import release_weights

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


class TanhGelu(nn.Module):
    """gelu_new written out, because XNNPACK computes `gelu(approximate="tanh")` as the erf form.

    The code uses sigmoid 2u instead of (1 + tanh u) / 2, which saves three operators.
    """

    SLOPE = 2 * math.sqrt(2 / math.pi)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x * (self.SLOPE + 0.044715 * self.SLOPE * (x * x)))


def is_gelu_new(activation: nn.Module) -> bool:
    return isinstance(activation, nn.GELU) and activation.approximate == "tanh"


class Xnnpack(XnnpackSpec, ExecutorchBackend):
    library = "XNNPACK"
    # `require_operators` rejects operators without a kernel, and every export runs its file.
    verifies_graph = False
    attention_form = TWO_PRODUCTS
    leaves = REASONS
    leaves_others = "it works on integers, booleans or shapes, which XNNPACK does not support"
    operator_libraries: ClassVar[tuple[str, ...]] = (
        "xnnpack_backend",
        "optimized_native_cpu_ops_lib",
        "quantized_ops_lib",
    )

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        model.transformer.form = MatmulForm()
        for block in model.transformer.blocks:
            block.attn.fold_scale()
            if is_gelu_new(block.mlp.act):
                block.mlp.act = TanhGelu()

    def _lower(
        self, program: nn.Module, config: ModelConfig, input_shape: InputShape, recipe: Recipe, path: Path
    ) -> Coverage:
        network = executorch_decoder.network_of(program)
        with needed_steps_only(lambda: release_weights(network)):
            return super()._lower(program, config, input_shape, recipe, path)

    def partitioner(self, recipe: Recipe) -> Any:
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

        return XnnpackPartitioner()

    def plan(self, path: Path, config: ModelConfig, input_shape: InputShape) -> MemoryPlan:
        content = mapped(path)
        file = read_program(path, content)
        method = file.program.execution_plan[0]
        constants, embeddings = constant_bytes(file, config)
        # The delegate's named data; it packs all of them at load.
        named = [len(buffer) for buffer in file.named_data.buffers] if file.named_data else []
        packed = sum(named)
        weights = constants - embeddings + packed
        program = len(content) - weights - embeddings
        tables = read_table_bytes(embeddings, config, input_shape.length)
        cache = executorch_decoder.cache_bytes(method)
        instructions = [each.instr_args for each in method.chains[0].instructions]
        delegates = sum(hasattr(each, "delegate_index") for each in instructions)
        kernels = sum(hasattr(each, "op_index") for each in instructions)
        loaded = packed + method_bytes(delegates, kernels)
        return MemoryPlan(
            program=program,
            weights=weights,
            embeddings=embeddings,
            # The pages of the named data are freed after the load.
            mapped=len(content) - packed - embeddings + tables,
            loaded=loaded,
            cache=cache,
            # The cache is in the arenas.
            arenas=sum(method.non_const_buffer_sizes) - cache,
            workspace=None,
            load_peak=packing_peak(program, loaded, sum(method.non_const_buffer_sizes), named),
            notes=tuple(tied_twice(config)),
        )
