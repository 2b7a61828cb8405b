"""Which tokens the last layer of a program of one fixed length answers for, and where the last of them is."""

from typing import cast

import torch.nn.functional as F
from torch import Tensor

from nf_edge.attention import Asked
from nf_edge.model import ModelConfig


def asked_of(config: ModelConfig) -> Asked:
    """The tokens that the last layer answers for."""
    if config.is_language_model or not config.answers_for_one_token:
        return "all"
    # Where the last token is differs from row to row, and relative noise with it.
    if config.pooled_token == "last" and config.noise.kind == "relative":
        return "all"
    return cast(Asked, config.pooled_token)


def last_real(attention_mask: Tensor) -> Tensor:
    """int64 [B, T] → float32 [B, T], 1 at the last real token, which padding on the right follows."""
    real = attention_mask.float()
    return real - F.pad(real[:, 1:], (0, 1))
