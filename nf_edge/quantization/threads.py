"""Threads of PyTorch."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Have PyTorch compute in one thread, so that sums of floats have one order on any number of cores.

    Another order gives other last bits, and GPTQ, AWQ and the ranges of activations other weights and scales.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
