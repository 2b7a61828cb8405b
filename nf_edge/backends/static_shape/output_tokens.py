"""The tokens for which the last layer of a static-shape program computes outputs."""

from typing import TYPE_CHECKING

from nf_edge.model import ModelConfig

if TYPE_CHECKING:
    from nf_edge.model.attention_forms import OutputTokens


def output_tokens_of(config: ModelConfig) -> "OutputTokens":
    """The tokens for which the last layer computes outputs: all, the first or the last."""
    if config.is_language_model or not config.outputs_one_token:
        return "all"
    if config.pooled_token == "first":
        return "first"
    # The last token's position differs between rows, and relative noise depends on it.
    return "all" if config.noise.kind == "relative" else "last"
