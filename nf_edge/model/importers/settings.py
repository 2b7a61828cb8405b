"""The settings of a Hugging Face folder.  Each setting that can change a prediction is read, refused or
reported.

A key that is in none of the tables below is also reported in a note.
"""

from collections.abc import Mapping
from typing import Any

# Keys of the shape in config.json → GPT-2's default.
SHAPE: dict[str, Any] = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "layer_norm_epsilon": 1e-5,
    "activation_function": "gelu_new",
}
# Other names in transformers for some of these keys.
ALIASES = {
    "hidden_size": "n_embd",
    "max_position_embeddings": "n_positions",
    "num_attention_heads": "n_head",
    "num_hidden_layers": "n_layer",
}
TOKENS: dict[str, Any] = {"pad_token_id": None, "bos_token_id": 50256, "eos_token_id": 50256}
READ = {
    *SHAPE,
    *ALIASES,
    *TOKENS,
    "model_type",
    "architectures",
    "tie_word_embeddings",
    "num_labels",
    "id2label",
    "problem_type",
    "dtype",
    "torch_dtype",
}
# Key → the value of a plain GPT-2 (also the default), and the effect of any other value.
PLAIN: dict[str, tuple[Any, str]] = {
    "scale_attn_weights": (True, "the scores are not divided by the root of the head size"),
    "scale_attn_by_inverse_layer_idx": (False, "each layer's scores are divided by its number"),
    "reorder_and_upcast_attn": (False, "attention rounds in an order that no exported program keeps"),
    "add_cross_attention": (False, "the model attends to an encoder's output"),
    "is_encoder_decoder": (False, "the model attends to an encoder's output"),
    "pruned_heads": ({}, "heads are removed after the weights are loaded"),
    "per_layer_config": (None, "layers have different settings"),
    "quantization_config": (None, "the weights are quantized by another library; save them dequantized"),
    "auto_map": (None, "the model needs code from the folder, which nf-edge does not run"),
}
# Settings without an effect on predictions: for training, other heads, memory, and additional outputs.
IRRELEVANT = {
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_attn_implementation_internal",
    "_commit_hash",
    "_experts_implementation_internal",
    "_name_or_path",
    "_num_labels",
    "attn_implementation",
    "attn_pdrop",
    "chunk_size_feed_forward",
    "embd_pdrop",
    "finetuning_task",
    "gradient_checkpointing",
    "initializer_range",
    "is_decoder",
    "label2id",
    "n_ctx",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "output_past",
    "resid_pdrop",
    "return_dict",
    "summary_activation",
    "summary_first_dropout",
    "summary_proj_to_labels",
    "summary_type",
    "summary_use_proj",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "torchscript",
    "transformers_version",
    "use_bfloat16",
    "use_cache",
}
# Keys of generation_config.json (older folders have them in config.json) → the default value.
GENERATION_DEFAULTS: dict[str, Any] = {
    "begin_suppress_tokens": None,
    "bad_words_ids": None,
    "diversity_penalty": 0.0,
    "do_sample": False,
    "early_stopping": False,
    "encoder_no_repeat_ngram_size": 0,
    "encoder_repetition_penalty": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "exponential_decay_length_penalty": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "length_penalty": 1.0,
    "max_length": 20,
    "min_length": 0,
    "no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "num_beams": 1,
    "num_return_sequences": 1,
    "remove_invalid_values": False,
    "repetition_penalty": 1.0,
    "suppress_tokens": None,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
}
GENERATION_IRRELEVANT = {
    "_from_model_config",
    "cache_config",
    "cache_implementation",
    "compile_config",
    "disable_compile",
    "low_memory",
    "output_attentions",
    "output_hidden_states",
    "output_logits",
    "output_scores",
    "return_dict_in_generate",
    "transformers_version",
    "use_cache",
}


def refused(config: Mapping[str, Any]) -> list[str]:
    """The reasons why a config does not describe a plain GPT-2; empty if it does."""
    problems = [
        f"{key} is {config[key]!r}, which a NoiseFormer does not support ({reason})"
        for key, (plain, reason) in PLAIN.items()
        if key in config and (config[key] or None) != (plain or None)
    ]
    problems += [
        f"{alias} ({config[alias]!r}) and {key} ({config[key]!r}) mean the same and must be equal"
        for alias, key in ALIASES.items()
        if alias in config and config.get(key, config[alias]) != config[alias]
    ]
    return problems


def shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Map nf-edge's keys of the model's shape to the values in a GPT-2 config, or to GPT-2's defaults."""
    named = {key: config[alias] for alias, key in ALIASES.items() if alias in config}
    return {key: config.get(key, named.get(key, default)) for key, default in SHAPE.items()}


def notes_on(config: Mapping[str, Any], generation: Mapping[str, Any]) -> list[str]:
    """Notes for the user about settings that the import ignores.

    Args:
        generation: the content of generation_config.json.
    """
    known = READ | PLAIN.keys() | IRRELEVANT | GENERATION_DEFAULTS.keys()
    notes = []
    if unknown := {key: value for key, value in config.items() if key not in known and value is not None}:
        notes.append(
            f"unknown keys of config.json are ignored: {_listed(unknown)}; check that the model does not "
            "need them"
        )
    chosen = {key: value for key, value in config.items() if key in GENERATION_DEFAULTS}
    chosen |= {k: v for k, v in generation.items() if k not in TOKENS and k not in GENERATION_IRRELEVANT}
    chosen = {k: v for k, v in chosen.items() if v is not None and v != GENERATION_DEFAULTS.get(k)}
    if chosen:
        notes.append(
            f"these settings of transformers' generate are ignored: {_listed(chosen)}; nf-edge generate "
            "takes the most likely token, or samples with --temperature"
        )
    return notes


def _listed(settings: Mapping[str, Any]) -> str:
    texts = (f"{key}={value!r}" for key, value in settings.items())
    return ", ".join(text if len(text) <= 60 else f"{text[:57]}..." for text in texts)
