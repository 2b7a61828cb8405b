"""`torch.export` of a program, in the shapes that its bounds allow."""

import torch
from torch import Tensor, nn

from nf_edge.backends.base import Bounds


def capture(program: nn.Module, bounds: Bounds) -> torch.export.ExportedProgram:
    """Export (input_ids, attention_mask) → logits for one row of a fixed or a bounded length."""
    dynamic = bounds.dynamic_length and bounds.length > 1
    shapes = {1: torch.export.Dim("length", min=1, max=bounds.length)} if dynamic else {}
    example = example_inputs(bounds)
    return torch.export.export(program, example, dynamic_shapes=(shapes, shapes))


def example_inputs(bounds: Bounds, batch: int = 1) -> tuple[Tensor, Tensor]:
    """`input_ids` and `attention_mask` to trace a program with."""
    # Not 1, which export would take for a constant.
    length = min(bounds.length, 8) if bounds.dynamic_length else bounds.length
    shape = (batch, length)
    return torch.zeros(shape, dtype=torch.int64), torch.ones(shape, dtype=torch.int64)
