"""Limit the number of threads that PyTorch uses, for reproducible sums."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Limit PyTorch to one thread, so that float sums have the same order on any number of cores.

    Another order changes the last bits of a sum. GPTQ, AWQ and activation ranges would then give other
    weights and scales.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
