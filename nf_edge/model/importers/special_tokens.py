"""The special tokens of a Hugging Face folder, as transformers determines them."""

from collections.abc import Mapping
from typing import Any

from nf_edge.model.importers.foreign import ForeignCheckpoint
from nf_edge.model.importers.settings import TOKENS

GENERATION = "generation_config.json"


def special_tokens(
    config: Mapping[str, Any],
    generation: Mapping[str, Any] | None,
    vocabulary: Any,
    foreign: ForeignCheckpoint,
) -> dict[str, Any]:
    """Map nf-edge's keys of special tokens to ids, from config.json and generation_config.json.

    Args:
        generation: the content of generation_config.json; None if there is none or the model is a classifier.
        vocabulary: number of tokens; ids outside the vocabulary are left out, because configs often keep
            GPT-2's ids.
        foreign: receives the notes and problems.
    """
    tokens_of = {key: config.get(key, default) for key, default in TOKENS.items()}
    if generation is not None:
        tokens_of |= _of_generation(tokens_of, config, generation, foreign)
    kept: dict[str, Any] = {}
    for key, tokens in tokens_of.items():
        outside = [token for token in _listed(tokens) if _is_outside(token, vocabulary)]
        if key in config or key in (generation or {}):
            foreign.notes += [
                f"{key} {token} is ignored, because it is outside the vocabulary of {vocabulary} tokens"
                for token in outside
            ]
        left = [token for token in _listed(tokens) if token not in outside]
        if left or not outside:
            # An explicit null means no token, even if the tokenizer has one.
            kept[key] = left if outside else tokens
    return kept


def _of_generation(
    tokens_of: Mapping[str, Any],
    config: Mapping[str, Any],
    generation: Mapping[str, Any],
    foreign: ForeignCheckpoint,
) -> dict[str, Any]:
    """The special tokens that generation_config.json sets or replaces, by key.

    Its eos_token_id takes precedence over that key in config.json, as in transformers' `generate`.  Each of
    its other keys counts only if config.json does not set the same key.

    Args:
        tokens_of: the special tokens by key, as config.json and its defaults give them.
        config, generation: the contents of both files.
        foreign: receives the notes and problems.
    """
    changes = {}
    for key in TOKENS:
        value = generation.get(key)
        if value is None:
            continue
        if not _is_token(value, several=key == "eos_token_id"):
            foreign.problems.append(f"{key} in {GENERATION} must be a token id, not {value!r}")
        elif key == "eos_token_id":
            changes[key] = value
            if _listed(value) != _listed(tokens_of[key]):
                foreign.notes.append(
                    f"eos_token_id {value} of {GENERATION} is used, as in transformers' generate; "
                    f"config.json has {'none' if tokens_of[key] is None else tokens_of[key]}"
                )
        elif config.get(key) is None:
            changes[key] = value
            foreign.notes.append(f"{key} {value} of {GENERATION} is used, because config.json has none")
    if generation.get("eos_token_id") is None and tokens_of["eos_token_id"] is not None:
        foreign.notes.append(
            f"{GENERATION} has no eos_token_id, so transformers' generate never stops early; nf-edge "
            f"stops at {tokens_of['eos_token_id']}, the eos_token_id of config.json"
        )
    return changes


def _is_token(value: Any, several: bool) -> bool:
    tokens = value if several and isinstance(value, list) else [value]
    return bool(tokens) and all(type(token) is int for token in tokens)


def _is_outside(token: Any, vocabulary: Any) -> bool:
    return type(token) is int and isinstance(vocabulary, int) and not 0 <= token < vocabulary


def _listed(tokens: Any) -> list[Any]:
    return tokens if isinstance(tokens, list) else [tokens]
