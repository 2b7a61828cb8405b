"""Export a program with `torch.export`, for the batch and lengths that an `InputShape` allows."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from nf_edge.backends.executorch import decoder as executorch_decoder
from nf_edge.backends.executorch.constant_folding import folded_in_blocks
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.program_caches import collectable


def capture(program: nn.Module, input_shape: InputShape) -> torch.export.ExportedProgram:
    """Export a program for ExecuTorch, for one row of fixed or bounded length."""
    if input_shape.cached:
        example, shapes = executorch_decoder.example(input_shape.length)
        return collectable(torch.export.export(program, example, dynamic_shapes=shapes))
    dynamic = input_shape.dynamic_length and input_shape.length > 1
    axes = {1: torch.export.Dim("length", min=1, max=input_shape.length)} if dynamic else {}
    return collectable(torch.export.export(program, example_inputs(input_shape), dynamic_shapes=(axes, axes)))


def example_inputs(input_shape: InputShape, batch: int = 1) -> tuple[Tensor, Tensor]:
    """Example `input_ids` and `attention_mask` to export a program without a cache."""
    # `torch.export` would make a constant of a length of 1.
    length = min(input_shape.length, 8) if input_shape.dynamic_length else input_shape.length
    shape = (batch, length)
    return torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.int64)


def quantize_captured(
    exported: torch.export.ExportedProgram,
    quantizer: Any,
    rows: Iterable[tuple[Tensor, ...]],
    release: Callable[[], None],
) -> nn.Module:
    """Quantize a captured program with an ExecuTorch quantizer.

    Args:
        rows: inputs that calibrate the ranges.
        release: releases the pages of the weights, which are mapped from the checkpoint's file.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    # Captured programs check their inputs by default, and quantizers cannot handle these checks.
    prepared = prepare_pt2e(exported.module(check_guards=False), quantizer)
    for row in rows:
        # A row starts with tables, which ExecuTorch's operators dequantize completely.
        release()
        prepared(*row)
    release()
    with folded_in_blocks(release):
        converted: nn.Module = convert_pt2e(prepared)
    return converted
