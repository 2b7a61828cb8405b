"""List the methods of a language model's `.pte` that return a number, such as `get_vocab_size`."""

from nf_edge.model.config import ModelConfig

ALWAYS = (
    "get_max_seq_len",
    "get_max_context_len",
    "get_vocab_size",
    "use_kv_cache",
    "use_sdpa_with_kv_cache",
    "enable_dynamic_shape",
)


def constant_methods(config: ModelConfig) -> tuple[str, ...]:
    begin = ("get_bos_id",) if config.bos_token_id is not None else ()
    end = ("get_eos_ids",) if config.end_tokens else ()
    return (*ALWAYS, *begin, *end)
