"""ExecuTorch with XNNPACK for linear layers, and nf-edge's kernels for attention, norms and GELU."""

import ctypes
import os
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
from nf_edge.backends.nf_cpu.spec import NfCpuSpec
from nf_edge.backends.xnnpack.backend import Xnnpack, is_gelu_new
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.targets import BuildTarget
from nf_edge.kernels import binding as kernel
from nf_edge.model import CausalLM, NoiseFormer


class NfCpu(NfCpuSpec, Xnnpack):
    library, namespace = "XNNPACK and the kernels of nf-edge", "nf"
    attention_form = (
        "one operator of nf-edge, which reads K and V directly from the projection's output; float32 or int8"
    )
    covers = frozenset({"native_layer_norm", "split_with_sizes_copy", "expand_copy", "index_put"})
    operator_libraries = (*Xnnpack.operator_libraries, "nf_executorch")

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

    def program(self, model: NoiseFormer, input_shape: InputShape, cache: CacheDtype | None) -> nn.Module:
        if cache is None:
            return model
        kept = FusedCache(model.config, input_shape.length, cache.dtype)
        return executorch_decoder.DecoderProgram(cast(CausalLM, model), kept)

    def operators_file(self, target: BuildTarget | None = None) -> Path:
        return kernel.executorch_library(target)

    def _runtime(self) -> Any:
        operators = self.operators_file()
        runtime = super()._runtime()
        _load(operators)
        return runtime


@lru_cache
def _load(operators: Path) -> None:
    """Load a shared library, which registers its operators with this process's ExecuTorch; only once."""
    ctypes.CDLL(os.fspath(operators))
