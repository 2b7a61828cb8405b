"""ExecuTorch with XNNPACK for linear layers, and nf-edge's kernels for attention, norms and GELU."""

import ctypes
import os
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from torch import nn

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.fused_modules import (
    FusedAttention,
    FusedCache,
    Lengths,
    ThreadedGelu,
    ThreadedNorm,
)
from nf_edge.backends.input_shape import CacheDtype, InputShape
from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.backends.tensor_sizes import sizes_of
from nf_edge.backends.xnnpack import Xnnpack, is_gelu_new, outputs_one_token
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.kernels import binding as kernel
from nf_edge.model import CausalLM, ModelConfig, NoiseFormer

# Scratch bytes of the kernel per element of a head, with its widest vectors.  Each thread needs this much; a
# prediction assumes `THREADS` threads.
TILE_COLUMN = {"float32": 2_800, "int8": 2_000}
THREADS = 2


class NfCpu(Xnnpack):
    support = replace(
        Xnnpack.support,
        backend="nf_cpu",
        own_kernels=True,
        attention=("float32", "int8"),
        caches=("float32", "int8"),
    )
    library, namespace = "XNNPACK and the kernels of nf-edge", "nf"
    attention_form = (
        "one operator of nf-edge, which reads K and V directly from the projection's output; float32 or int8"
    )
    covers = frozenset({"native_layer_norm", "split_with_sizes_copy", "expand_copy", "index_put"})
    operator_libraries = (*Xnnpack.operator_libraries, "nf_executorch")
    process_bytes = 7_600_000

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        transformer = model.transformer
        transformer.form = Lengths()
        products = "float32" if recipe.quantize is None else recipe.quantize.attention
        for block in transformer.blocks:
            block.add_module("attn", FusedAttention(block.attn, transformer.causal, products))
            if is_gelu_new(block.mlp.act):
                block.mlp.act = ThreadedGelu()
            block.ln_1, block.ln_2 = ThreadedNorm.of(block.ln_1), ThreadedNorm.of(block.ln_2)
        transformer.ln_f = ThreadedNorm.of(transformer.ln_f)

    def cache_dtype(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> CacheDtype | None:
        if not input_shape.cached or recipe.quantize is None:
            return super().cache_dtype(config, input_shape, recipe)
        return CacheDtype(recipe.quantize.kv_cache)

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        if cache is None:
            return model
        kept = FusedCache(model.config, input_shape.length, cache.dtype)
        return executorch_decoder.DecoderProgram(cast(CausalLM, model), kept)

    def predict(self, config: ModelConfig, input_shape: InputShape, recipe: Recipe) -> MemoryPlan:
        sizes = sizes_of(config, input_shape.length)
        kept = self.cache_dtype(config, input_shape, recipe)
        cache, tokens = 0, sizes.cache // config.head_size
        if kept is not None:
            cache = 4 * sizes.cache if kept.dtype == "float32" else sizes.cache + 4 * tokens
        int8 = recipe.quantize is not None and recipe.quantize.attention == "int8"
        scratch = THREADS * TILE_COLUMN["int8" if int8 else "float32"] * config.head_size
        if int8 and (kept is None or kept.dtype == "float32"):
            # Keys and values of one layer, quantized for the products, with one scale each.
            scratch += (sizes.cache + 4 * tokens) // config.n_layer
        # The outputs of norm and projection.  Layers before the last also need the residual stream and the
        # output of attention.  The last layer computes one token, so it needs little more.
        parts = 2 if config.attention == "symmetric" else 3
        arenas, workspace = (1 + parts) * sizes.hidden, 0
        if config.n_layer > 1 or not outputs_one_token(config, input_shape):
            arenas, workspace = (3 + parts) * sizes.hidden, 2 * sizes.inner
            if config.activation_function == "gelu_new":
                # GELU is between two XNNPACK layers, which keep copies of the residual stream.
                arenas, workspace = max(arenas, sizes.hidden + 2 * sizes.inner), 2 * sizes.hidden
        return self._predicted(config, recipe, sizes, cache, 4 * arenas, 4 * workspace + scratch)

    def operators_file(self, target: BuildTarget | None = None) -> Path:
        return kernel.executorch_library(target)

    def _runtime(self) -> Any:
        operators = self.operators_file()
        runtime = super()._runtime()
        _load(operators)
        return runtime


@lru_cache
def _load(operators: Path) -> None:
    """Register operators with this process's ExecuTorch, once."""
    ctypes.CDLL(os.fspath(operators))
