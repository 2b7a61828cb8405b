"""Quantize a captured program's weights in blocks of rows.

Torchao's `convert_pt2e` computes the int8 weights by constant folding.  It also computes the float32 weights
that they dequantize to, and drops them, and its rounding copies each weight several times.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch.fx import Node

from nf_edge.backends.quantized_weights import BLOCK


@contextmanager
def folded_in_blocks(release: Callable[[], None]) -> Iterator[None]:
    """Make torchao's constant folding round weights in blocks, while the block runs.

    Args:
        release: called after each weight of more than `BLOCK` values, to release its pages.
    """
    from torchao.quantization.pt2e.constant_fold import ConstantFolder

    deduce = ConstantFolder._deduce_value
    per_channel = torch.ops.quantized_decomposed.quantize_per_channel.default

    def deduce_value(folder: Any, node: Node) -> Any:
        if folder.is_impure(node):
            return folder.unknown_value  # folding keeps this node, whatever its value
        if node.target != per_channel:
            return deduce(folder, node)
        args, _ = folder.fetch_args_kwargs_from_env(node)
        weight, scales, zero_points, axis, *rest = args
        if weight.numel() <= BLOCK or axis != 0:
            return deduce(folder, node)
        rows = max(BLOCK // weight[0].numel(), 1)
        blocks = zip(weight.split(rows), scales.split(rows), zero_points.split(rows), strict=True)
        rounded = torch.cat([per_channel(*block, axis, *rest) for block in blocks])
        release()
        return rounded

    # `patch.object` fails if torchao renames the method.
    with patch.object(ConstantFolder, "_deduce_value", deduce_value):
        yield
