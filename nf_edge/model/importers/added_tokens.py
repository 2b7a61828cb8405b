"""The added and special tokens of a Hugging Face tokenizer, merged into a `tokenizer.json` document."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from nf_edge.core.errors import BadInput
from nf_edge.model.tokenizer import END_OF_TEXT

SETTINGS = "tokenizer_config.json"
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Keys of more special tokens, in two versions of transformers: a list of tokens, or a map of names to tokens.
MORE_TOKENS = ("extra_special_tokens", "additional_special_tokens")
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
SAVE_AGAIN = "save the tokenizer again with save_pretrained of transformers"


def add_tokens(
    document: dict[str, Any],
    settings: Mapping[str, Any],
    listed: list[tuple[int, dict[str, Any]]],
    folder: Path,
    notes: list[str],
) -> None:
    """Add the tokens that a folder's other files define to its `tokenizer.json`.

    Args:
        document: the content of `tokenizer.json`, changed in place.
        settings: the content of `tokenizer_config.json`.
        listed: ids and attributes of the added tokens, as `listed_tokens` returns them.
        folder: the folder, for messages.
        notes: receives a remark that names the added tokens.

    Raises:
        BadInput: a token is invalid, or the ids of new tokens do not continue the vocabulary without gaps.
    """
    tokens = added_tokens(document)
    known = {*tokens, END_OF_TEXT}
    for index, token in listed:
        content = token["content"]
        place = _id(content, document, tokens)
        if place != index:
            raise BadInput(
                f"a tokenizer file gives {content} the id {index}, but its id must be {place}, because added "
                "tokens continue the vocabulary without gaps",
                where=folder,
                fix=f"change the id in added_tokens.json or {SETTINGS} to {place}, or add the missing tokens",
            )
        tokens[content] = tokens.get(content, {}) | token | {"id": place}
    for token in special_tokens(settings):
        content, place = content_of(token), _id(content_of(token), document, tokens)
        tokens[content] = (tokens.get(content) or _attributes(token, folder)) | {"id": place, "special": True}
    document["added_tokens"] = sorted(tokens.values(), key=lambda token: token["id"])
    if added := [f"{content} ({token['id']})" for content, token in tokens.items() if content not in known]:
        notes.append(f"tokenizer: tokens added from the other files: {', '.join(added)}")


def added_tokens(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {token["content"]: token for token in document["added_tokens"]}


def ids_of(document: dict[str, Any]) -> dict[str, int]:
    """Map each token of a `tokenizer.json` document, including added tokens, to its id."""
    vocabulary = document["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram has [token, score] pairs
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    return vocabulary | {token["content"]: token["id"] for token in document["added_tokens"]}


def _id(content: str, document: dict[str, Any], tokens: Mapping[str, dict[str, Any]]) -> int:
    """The id of a token in the tokenizer; for a new token, the id that `tokenizers` will give it.

    Args:
        content: the text of the token.
        document: the content of `tokenizer.json`.
        tokens: the added tokens so far, with their ids, by their texts.
    """
    if content in tokens:
        known: int = tokens[content]["id"]
        return known
    largest = max((token["id"] for token in tokens.values()), default=-1)
    return ids_of(document).get(content, max(len(document["model"]["vocab"]), largest + 1))


def listed_tokens(settings: Mapping[str, Any], folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """The ids and attributes of the added tokens that the settings list, by increasing id."""
    decoder = settings["added_tokens_decoder"] or {}
    try:
        listed = sorted(((int(index), token) for index, token in decoder.items()), key=itemgetter(0))
    except (AttributeError, TypeError, ValueError) as error:
        what = "added_tokens_decoder does not map ids to tokens"
        raise BadInput(what, where=folder / SETTINGS, fix=SAVE_AGAIN) from error
    return [(index, _attributes(token, folder)) for index, token in listed]


def special_tokens(settings: Mapping[str, Any]) -> Iterator[Any]:
    """All special tokens in the content of `tokenizer_config.json`, as texts or objects.

    Tokens with a separate key, such as `bos_token`, come first.
    """
    named = [settings.get(name) for name in NAMED_TOKENS]
    more: list[Any] = []
    for key in MORE_TOKENS:
        value = settings.get(key) or []
        more += value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
    # Special tokens of some models, such as image_token, are texts.
    model_specific = [
        token
        for name, token in settings.items()
        if name.endswith("_token") and name not in NAMED_TOKENS and isinstance(token, str)
    ]
    yield from (token for token in [*named, *more, *model_specific] if token is not None)


def content_of(token: Any) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _attributes(token: Any, folder: Path) -> dict[str, Any]:
    """A token's content and flags in the format of tokenizer.json, with transformers' defaults.

    Raises:
        BadInput: the token is not a text or an object with a text and boolean flags.
    """
    given = token if isinstance(token, dict) else {"content": token, "special": True}
    content, special = content_of(given), given.get("special", False)
    attributes = {"content": content} | dict.fromkeys(FLAGS, False) | {"normalized": not special}
    attributes |= {flag: given[flag] for flag in FLAGS if flag in given}
    if not content or not all(isinstance(attributes[flag], bool) for flag in FLAGS):
        raise BadInput(
            f"the tokenizer's settings contain an invalid token: {token!r}; a token is a text, or an object "
            "with a text `content` and boolean flags",
            where=folder,
            fix=SAVE_AGAIN,
        )
    return attributes
