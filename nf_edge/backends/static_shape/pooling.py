"""Which tokens the last layer of a program of one fixed length answers for, and where the last of them is."""

import torch.nn.functional as F
from torch import Tensor

from nf_edge.model import ModelConfig
from nf_edge.model.attention_forms import OutputTokens


def output_tokens_of(config: ModelConfig) -> OutputTokens:
    """The tokens that the last layer answers for."""
    if config.is_language_model or not config.outputs_one_token:
        return "all"
    if config.pooled_token == "first":
        return "first"
    # Where the last token is differs from row to row, and relative noise with it.
    return "all" if config.noise.kind == "relative" else "last"


def last_of(mask: Tensor) -> Tensor:
    """int64 [B, T], ones before zeros → float32 [B, T], 1 at the last of the ones."""
    real = mask.float()
    return real - F.pad(real[:, 1:], (0, 1))
