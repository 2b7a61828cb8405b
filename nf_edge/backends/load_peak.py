"""Predict the peak memory while a program loads whose delegate packs weights."""

from collections.abc import Iterable
from dataclasses import replace

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.tensor_sizes import Sizes


def packing_peak(program: int, loaded: int, buffers: int, constants: Iterable[int]) -> int:
    """Predict the peak bytes of a process that loads a program, without the runtime's libraries.

    ExecuTorch allocates and clears the planned buffers before the delegates load (`Module::load_method` in
    extension/module/module.cpp).  XNNPACK then maps one constant at a time, packs it, and unmaps it.  So only
    the largest constant adds to the peak.

    Args:
        program: bytes of the file without weights and tables.
        loaded: bytes of heap in use after load, including packed weights.
        buffers: bytes of the planned buffers, including the cache.
        constants: bytes in the file of each constant that XNNPACK packs.
    """
    return program + loaded + buffers + max(constants, default=0)


def packed_constants(sizes: Sizes, precision_of: Precisions) -> list[int]:
    """Bytes in the file of each linear layer's weights and scales, one number per layer."""
    return [
        replace(sizes, linear={name: shape}).linear_bytes(precision_of, channel_bytes=4, group_bytes=2)
        for name, shape in sizes.linear.items()
    ]
