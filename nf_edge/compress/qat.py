"""Quantization-aware training, by torchao: rounding in the forward pass, gradients as if there were none."""

import torch
from torch import nn

from nf_edge.model import NoiseFormer
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import GROUP_SIZE, Quantize


def prepare_qat(model: NoiseFormer, quantize: Quantize) -> None:
    """Have linear layers and tables round, in place, as a recipe's `quantize` section will.

    Their parameters stay the same ones, in float32: what is trained is saved, and export quantizes it.
    """
    with quiet_libraries():
        from torchao.quantization import quantize_
        from torchao.quantization.qat import IntxFakeQuantizeConfig, QATConfig

        def weights(dtype: str) -> IntxFakeQuantizeConfig:
            if dtype == "int4":
                four = torch.int4  # type: ignore[attr-defined]
                return IntxFakeQuantizeConfig(four, group_size=GROUP_SIZE, is_symmetric=True)
            return IntxFakeQuantizeConfig(torch.int8, "per_channel", is_symmetric=True)

        activations = None
        if quantize.activations == "int8_dynamic":
            activations = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
        tables: dict[nn.Module, str] = {
            model.transformer.wte: quantize.table_dtype(model.config.n_embd),
            model.transformer.wpe: quantize.position_dtype(),
        }
        for dtype in ("int8", "int4"):

            def is_linear(module: nn.Module, name: str, dtype: str = dtype) -> bool:
                return isinstance(module, nn.Linear) and quantize.linear_dtype(module.in_features) == dtype

            def is_table(module: nn.Module, name: str, dtype: str = dtype) -> bool:
                return tables.get(module) == dtype

            quantize_(
                model, QATConfig(activation_config=activations, weight_config=weights(dtype)), is_linear
            )
            quantize_(model, QATConfig(weight_config=weights(dtype)), is_table)
