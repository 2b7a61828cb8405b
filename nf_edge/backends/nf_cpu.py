"""ExecuTorch with XNNPACK for the linear layers and the kernel of nf-edge for attention."""

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from torch import nn

from nf_edge.attention import kernel
from nf_edge.backends import executorch_decoder
from nf_edge.backends.base import Bounds, CacheDtype, Coverage, Left, Plan
from nf_edge.backends.fused_attention import FusedAttention, FusedCache, Lengths
from nf_edge.backends.xnnpack import Xnnpack
from nf_edge.model import CausalLM, ModelConfig, NoiseFormer
from nf_edge.recipe import Recipe


class NfCpu(Xnnpack):
    name = "nf_cpu"
    own_kernels = True
    operator_libraries = (*Xnnpack.operator_libraries, "nf_executorch")

    def specialise(self, model: NoiseFormer, recipe: Recipe) -> None:
        transformer = model.transformer
        transformer.form = Lengths()
        products = "float32" if recipe.quantize is None else recipe.quantize.attention
        for block in transformer.blocks:
            block.add_module("attn", FusedAttention(block.attn, transformer.causal, products))
        self._write_out_gelu(model)

    def problems(self, recipe: Recipe) -> list[str]:
        return self._linear_problems(recipe)

    def cache_dtype(self, config: ModelConfig, bounds: Bounds, recipe: Recipe) -> CacheDtype | None:
        if not bounds.cached or recipe.quantize is None:
            return super().cache_dtype(config, bounds, recipe)
        return CacheDtype(recipe.quantize.kv_cache)

    def program(self, model: NoiseFormer, bounds: Bounds, cache: CacheDtype | None) -> nn.Module:
        if cache is None:
            return model
        kept = FusedCache(model.config, bounds.length, cache.dtype)
        return executorch_decoder.DecoderProgram(cast(CausalLM, model), kept)

    def _runtime(self) -> Any:
        runtime = super()._runtime()
        _load_operators()
        return runtime


@lru_cache
def _load_operators() -> None:
    """Register our operators with the ExecuTorch of this process."""
    ctypes.CDLL(os.fspath(kernel.executorch_library()), mode=ctypes.RTLD_GLOBAL)
