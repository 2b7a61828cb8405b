"""Pooling in static-shape programs: a mask that selects the last real token of each row."""

import torch.nn.functional as F
from torch import Tensor


def last_of(mask: Tensor) -> Tensor:
    """A float32 mask [B, T] that is 1 only at the last 1 of each row.

    Args:
        mask: int64 [B, T]; in each row, ones before zeros.
    """
    real = mask.float()
    return real - F.pad(real[:, 1:], (0, 1))
