"""The peak of loading of programs whose delegate packs weights."""

from collections.abc import Iterable
from dataclasses import replace

from nf_edge.backends.precisions import Precisions
from nf_edge.backends.tensor_sizes import Sizes


def packing_peak(program: int, loaded: int, buffers: int, constants: Iterable[int]) -> int:
    """Bytes of a process at the peak of loading, without the runtime.

    ExecuTorch allocates and clears the planned buffers before the delegates load
    (`Module::load_method` in extension/module/module.cpp).  XNNPACK maps the pages of one constant at a time,
    packs them, and frees them; the largest one decides.

    Args:
        program: bytes of the program in the file.
        loaded: heap in use after load.
        buffers: planned buffers, including the cache.
        constants: bytes of each packed constant.
    """
    return program + loaded + buffers + max(constants, default=0)


def packed_constants(sizes: Sizes, precision_of: Precisions) -> list[int]:
    """Bytes of each linear layer's weights in the file."""
    return [
        replace(sizes, linear={name: shape}).linear_bytes(precision_of, channel_bytes=4, group_bytes=2)
        for name, shape in sizes.linear.items()
    ]
