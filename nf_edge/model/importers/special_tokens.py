"""The special tokens of a Hugging Face folder, as transformers finds them."""

from collections.abc import Mapping
from typing import Any

from nf_edge.model.importers.foreign import Foreign
from nf_edge.model.importers.settings import TOKENS

GENERATION = "generation_config.json"


def special_tokens(
    config: Mapping[str, Any], generation: Mapping[str, Any] | None, vocabulary: Any, foreign: Foreign
) -> dict[str, Any]:
    """The keys of our config: those of config.json, and where text is generated those of
    generation_config.json.

    Args:
        generation: None where there is no such file, or nothing is generated.
        vocabulary: number of tokens; many configs of a smaller vocabulary still have GPT-2's ids.
        foreign: takes the notes and problems.
    """
    found = {key: config.get(key, default) for key, default in TOKENS.items()}
    if generation is not None:
        found |= _of_generation(found, config, generation, foreign)
    kept: dict[str, Any] = {}
    for key, tokens in found.items():
        outside = [token for token in _listed(tokens) if _is_outside(token, vocabulary)]
        if key in config or key in (generation or {}):
            foreign.notes += [
                f"{key} {token} is outside the vocabulary of {vocabulary} and is left out"
                for token in outside
            ]
        left = [token for token in _listed(tokens) if token not in outside]
        if left or not outside:
            # What is none on purpose stays none, whatever the tokenizer has.
            kept[key] = left if outside else tokens
    return kept


def _of_generation(
    found: Mapping[str, Any], config: Mapping[str, Any], generation: Mapping[str, Any], foreign: Foreign
) -> dict[str, Any]:
    """What generation_config.json changes: its ends of a text win, as in transformers' generate; its other
    tokens count where config.json names none."""
    changes = {}
    for key in TOKENS:
        value = generation.get(key)
        if value is None:
            continue
        if not _is_token(value, several=key == "eos_token_id"):
            foreign.problems.append(f"{GENERATION}: {key} is {value!r}, not a token's id")
        elif key == "eos_token_id":
            changes[key] = value
            if _listed(value) != _listed(found[key]):
                foreign.notes.append(
                    f"eos_token_id is {value} by {GENERATION}, as in transformers' generate; config.json has "
                    f"{'none' if found[key] is None else found[key]}"
                )
        elif config.get(key) is None:
            changes[key] = value
            foreign.notes.append(f"{key} is {value} by {GENERATION}; config.json has none")
    if generation.get("eos_token_id") is None and found["eos_token_id"] is not None:
        foreign.notes.append(
            f"{GENERATION} names no eos_token_id, so transformers' generate stops at none; here "
            f"config.json's {found['eos_token_id']} ends a text"
        )
    return changes


def _is_token(value: Any, several: bool) -> bool:
    tokens = value if several and isinstance(value, list) else [value]
    return bool(tokens) and all(type(token) is int for token in tokens)


def _is_outside(token: Any, vocabulary: Any) -> bool:
    return type(token) is int and isinstance(vocabulary, int) and not 0 <= token < vocabulary


def _listed(tokens: Any) -> list[Any]:
    return tokens if isinstance(tokens, list) else [tokens]
