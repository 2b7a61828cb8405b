"""Embedding tables of 2, 4 and 8 bits for ExecuTorch; a lookup dequantizes the rows it reads."""

import torch
from torch import Tensor, nn

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.quantized_weights import QuantizedWeight, code_range, nearest, pack, unpack
from nf_edge.core.quiet import quiet_libraries
from nf_edge.core.recipe.precision import POSITIONS, TOKENS, Precision
from nf_edge.model.network import Transformer

OPERATORS = {2: "embedding_2bit", 4: "embedding_4bit", 8: "embedding_byte"}


class QuantizedEmbedding(nn.Module):
    """A table [V, D] of packed integers, with a float32 scale for each row or group of columns.

    Args:
        bits: bits per value in the table; the codes may need fewer.
    """

    table: Tensor
    scales: Tensor

    def __init__(self, quantized_weight: QuantizedWeight, bits: int) -> None:
        super().__init__()
        self._bits = bits
        self.register_buffer("table", _packed(quantized_weight.codes, bits))
        self.register_buffer("scales", quantized_weight.scales)

    def forward(self, ids: Tensor) -> Tensor:
        """Look up rows: int64 [B, T] → float32 [B, T, D]."""
        look_up = getattr(torch.ops.quantized_decomposed, OPERATORS[self._bits]).dtype
        rows: Tensor = look_up(
            self.table, self.scales, None, *code_range(self._bits), ids, dtype=torch.float32
        )
        return rows

    def dequantized(self) -> Tensor:
        """The complete table, float32 [V, D]."""
        return QuantizedWeight(_unpacked(self.table, self._bits), self.scales).dequantized()


def _packed(codes: Tensor, bits: int) -> Tensor:
    if bits == 8:
        return codes
    # `embedding_4bit` expects even columns in the upper half of a byte.
    return pack(_pairs_turned(codes) if bits == 4 else codes, bits)


def _unpacked(table: Tensor, bits: int) -> Tensor:
    if bits == 8:
        return table
    return _pairs_turned(unpack(table, bits)) if bits == 4 else unpack(table, bits)


def _pairs_turned(codes: Tensor) -> Tensor:
    return codes.view(len(codes), -1, 2).flip(2).view(codes.shape)


def quantize_tables(
    transformer: Transformer, precision_of: Precisions, quantized_weight: QuantizedWeight | None
) -> None:
    """Replace the token and position tables in place by quantized tables, as the precisions request.

    Args:
        quantized_weight: the rounded token table; None rounds each value to the nearest.
    """
    with quiet_libraries():
        # This import registers quantized_decomposed::embedding_*.
        import executorch.exir.passes._quant_patterns_and_replacements  # noqa: F401
    for name, table, rounded in (
        (TOKENS, transformer.wte, quantized_weight),
        (POSITIONS, transformer.wpe, None),
    ):
        if precision_of[name].stored is not None:
            quantized = _quantized(table.weight.detach(), precision_of[name], rounded)
            transformer.add_module(name.removeprefix("transformer."), quantized)


def _quantized(
    table: Tensor, precision: Precision, quantized_weight: QuantizedWeight | None
) -> QuantizedEmbedding:
    assert precision.stored is not None
    return QuantizedEmbedding(quantized_weight or nearest(table, precision, signed=True), precision.stored)
