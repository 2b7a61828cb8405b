"""The methods of a language model's `.pte` that return a constant, for ExecuTorch's TextLLMRunner."""

from typing import Any

from nf_edge.model.config import ModelConfig


def constant_methods(config: ModelConfig, capacity: int) -> dict[str, Any]:
    """Map the name of each constant method of a program with a cache to its value.

    Args:
        capacity: the largest number of tokens in the cache.
    """
    methods: dict[str, Any] = {
        "get_max_seq_len": capacity,
        "get_max_context_len": capacity,
        "get_vocab_size": config.vocab_size,
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": False,
        # A prompt is fed in one call.
        "enable_dynamic_shape": True,
    }
    if config.bos_token_id is not None:
        methods["get_bos_id"] = config.bos_token_id
    if config.end_tokens:
        methods["get_eos_ids"] = list(config.end_tokens)
    return methods
