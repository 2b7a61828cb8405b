"""Embedding tables in int8 and int4, for ExecuTorch: rows are dequantized as they are looked up."""

import torch
from torch import Tensor, nn

from nf_edge.compress.gptq import Grid
from nf_edge.model.network import Transformer
from nf_edge.quiet import quiet_libraries
from nf_edge.recipe import GROUP_SIZE, Quantize


class Int8Embedding(nn.Module):
    """A table [V, D] of int8 with a float32 scale for each row."""

    table: Tensor
    scales: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        scales = table.abs().amax(dim=1).clamp(min=torch.finfo(torch.float32).tiny) / 127
        self.register_buffer("table", (table / scales[:, None]).round().to(torch.int8))
        self.register_buffer("scales", scales)

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [B, T] → float32 [B, T, D]."""
        return torch.ops.quantized_decomposed.embedding_byte.dtype(
            self.table, self.scales, None, -128, 127, ids, dtype=torch.float32
        )

    def dequantized(self) -> Tensor:
        """float32 [V, D]."""
        return self.table.float() * self.scales[:, None]


class Int4Embedding(nn.Module):
    """A table [V, D] of int4, two to a byte, with a float32 scale for each group of a row."""

    table: Tensor
    scales: Tensor

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        codes = (grid.codes + 8).to(torch.uint8)
        # The layout of `embedding_4bit`: even columns in the upper half of a byte.
        self.register_buffer("table", codes[:, ::2] * 16 + codes[:, 1::2])
        self.register_buffer("scales", grid.scales)

    def forward(self, ids: Tensor) -> Tensor:
        """int64 [B, T] → float32 [B, T, D]."""
        return torch.ops.quantized_decomposed.embedding_4bit.dtype(
            self.table, self.scales, None, -8, 7, ids, dtype=torch.float32
        )

    def dequantized(self) -> Tensor:
        """float32 [V, D]."""
        codes = torch.stack([self.table >> 4, self.table & 15], dim=2).to(torch.int8) - 8
        return Grid(codes.flatten(1), self.scales).dequantized()


def nearest(table: Tensor) -> Grid:
    """A float32 table [V, D], each value rounded to the nearest."""
    rows, width = table.shape
    groups = table.view(rows, width // GROUP_SIZE, GROUP_SIZE)
    # The value of largest magnitude becomes −8, so that no code is wasted; its scale may be negative.
    largest = groups.gather(2, groups.abs().argmax(dim=2, keepdim=True))
    scales = torch.where(largest == 0, 1.0, largest / -8)
    codes = (groups / scales).round().clamp(-8, 7).to(torch.int8)
    return Grid(codes.view(rows, width), scales.squeeze(2))


def quantize_tables(transformer: Transformer, quantize: Quantize, grid: Grid | None) -> None:
    """Replace the token and position tables, in place, by quantized ones.

    Args:
        grid: what int4 tokens become; each value goes to the nearest where None.
    """
    if quantize.embeddings == "float32":
        return
    with quiet_libraries():
        # Registers quantized_decomposed::embedding_*.
        import executorch.exir.passes._quant_patterns_and_replacements  # noqa: F401
    tokens, positions = transformer.wte, transformer.wpe
    table = tokens.weight.detach()
    int4 = quantize.table_dtype(tokens.embedding_dim) == "int4"
    transformer.add_module("wte", Int4Embedding(grid or nearest(table)) if int4 else Int8Embedding(table))
    transformer.add_module("wpe", Int8Embedding(positions.weight.detach()))
