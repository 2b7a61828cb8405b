"""Output tokens of a static-shape program's last layer, and a mask of the last real token."""

import torch.nn.functional as F
from torch import Tensor

from nf_edge.model import ModelConfig
from nf_edge.model.attention_forms import OutputTokens


def output_tokens_of(config: ModelConfig) -> OutputTokens:
    """The tokens for which the last layer computes outputs: all, the first or the last."""
    if config.is_language_model or not config.outputs_one_token:
        return "all"
    if config.pooled_token == "first":
        return "first"
    # The last token's position differs between rows, and relative noise depends on it.
    return "all" if config.noise.kind == "relative" else "last"


def last_of(mask: Tensor) -> Tensor:
    """A float32 mask [B, T] that is 1 only at the last 1 of each row.

    Args:
        mask: int64 [B, T]; in each row, ones before zeros.
    """
    real = mask.float()
    return real - F.pad(real[:, 1:], (0, 1))
