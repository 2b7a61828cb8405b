"""Read the tokenizer of a Hugging Face folder as one `tokenizer.json`, with the token ids of transformers.

Up to six files define it.  The vocabulary is in `tokenizer.json`, or in GPT-2's older `vocab.json` and
`merges.txt`. The settings are in `tokenizer_config.json`.  If `tokenizer_config.json` does not list
the added tokens, `special_tokens_map.json` and `added_tokens.json` list them.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import dropped_stderr
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.model.checkpoint_outline import TOKENIZER
from nf_edge.model.importers.added_tokens import (
    SAVE_AGAIN,
    SETTINGS,
    add_tokens,
    added_tokens,
    content_of,
    ids_of,
    listed_tokens,
    special_tokens,
)
from nf_edge.model.importers.bpe import MERGES, VOCAB, bpe_document
from nf_edge.model.tokenizer import END_OF_TEXT, MOST_BYTES, read_tokenizer, tokenizer_errors

SPECIAL_TOKENS, ADDED_TOKENS = "special_tokens_map.json", "added_tokens.json"
# Tokenizer classes of transformers: GPT-2's (the first is the default), and classes for any tokenizer.json.
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Named special tokens of GPT-2's classes, if the settings name none.
DEFAULTS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
# Options of a BPE that GPT-2's BPE does not use.
MODEL_OPTIONS = (
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)


def read_tokenizer_files(folder: Path, notes: list[str]) -> Path | Tokenizer | None:
    """The tokenizer of a folder; None if it has none.

    Args:
        notes: receives remarks for the user.

    Returns:
        The path of `tokenizer.json` if it is complete, otherwise a tokenizer built from several files.

    Raises:
        BadInput: a file is invalid, or files give a token different ids.
    """
    has_tokenizer_json = is_there(folder / TOKENIZER)
    if has_tokenizer_json:
        read_tokenizer(folder / TOKENIZER)
        document = {"added_tokens": []} | read_json_object(folder / TOKENIZER, MOST_BYTES)
    elif is_there(folder / VOCAB) and is_there(folder / MERGES):
        document = bpe_document(folder)
    else:
        return None
    before = strict_json.dumps(document)
    settings = _settings(folder)
    name = settings.get("tokenizer_class") or GPT2_CLASSES[0]
    if name in GPT2_CLASSES or not has_tokenizer_json:
        settings = _with_defaults(settings, document, notes)
        _set_prefix_space(document, settings, notes)
    listed = listed_tokens(settings, folder)
    notes += _unsupported_notes(document, settings, name, has_tokenizer_json)
    if has_tokenizer_json and name in GPT2_CLASSES and "added_tokens_decoder" in _optional(folder / SETTINGS):
        notes += _unlisted_notes(document, settings, listed)
    add_tokens(document, settings, listed, folder, notes)
    if not has_tokenizer_json:
        _add_template(document, settings, notes)
    if has_tokenizer_json and strict_json.dumps(document) == before:
        return folder / TOKENIZER
    return _built(document, folder)


def _settings(folder: Path) -> dict[str, Any]:
    """The content of `tokenizer_config.json`; if it lists no added tokens, they are added from the older
    files.
    """
    settings = _optional(folder / SETTINGS)
    if "added_tokens_decoder" in settings:
        return settings
    settings |= _optional(folder / SPECIAL_TOKENS)
    added = _optional(folder / ADDED_TOKENS)
    if not all(type(index) is int for index in added.values()):
        raise BadInput("must map each token to an integer id", where=folder / ADDED_TOKENS, fix=SAVE_AGAIN)
    special = {content_of(token) for token in special_tokens(settings)}
    decoder = {str(index): {"content": token, "special": token in special} for token, index in added.items()}
    return settings | {"added_tokens_decoder": decoder}


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path, MOST_BYTES) if is_there(path) else {}


def _with_defaults(settings: dict[str, Any], document: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The settings with GPT-2's default special tokens, if the vocabulary has them.

    Args:
        document: the content of tokenizer.json.
        notes: receives a remark if the vocabulary lacks them.
    """
    if END_OF_TEXT in ids_of(document):
        return DEFAULTS | settings
    if any(name not in settings for name in DEFAULTS):
        notes.append(
            f"tokenizer: {END_OF_TEXT} is missing and is not added (transformers adds it to a GPT-2)"
        )
    return settings


def _set_prefix_space(document: dict[str, Any], settings: Mapping[str, Any], notes: list[str]) -> None:
    """Set add_prefix_space of the tokenizer as in the settings (default: no space), as transformers does.

    Args:
        document: the content of tokenizer.json, changed in place.
        settings: the content of tokenizer_config.json.
        notes: receives a remark if this changes the tokenizer.
    """
    pre, add_space = document.get("pre_tokenizer") or {}, settings.get("add_prefix_space") is True
    if pre.get("type") != "ByteLevel" or pre.get("add_prefix_space") is add_space:
        return
    pre["add_prefix_space"] = add_space
    article, state = ("a", "is true") if add_space else ("no", "is not true")
    notes.append(
        f"tokenizer: {article} space is added before a text, because add_prefix_space in {SETTINGS} {state}"
    )


def _add_template(document: dict[str, Any], settings: Mapping[str, Any], notes: list[str]) -> None:
    """Make the tokenizer add bos and eos tokens around every text, if the settings require it.

    For a folder without tokenizer.json, transformers does the same.

    Args:
        document: the content of tokenizer.json, changed in place.
        settings: the content of tokenizer_config.json.
        notes: receives a remark that names the added tokens.
    """
    tokens = added_tokens(document)
    ends = {
        name: content_of(settings.get(name))
        for name in ("bos_token", "eos_token")
        if settings.get(f"add_{name}") is True and content_of(settings.get(name)) in tokens
    }
    if not ends:
        return

    def piece(kind: str, name: str, sequence: int) -> dict[str, Any]:
        return {kind: {"id": name, "type_id": sequence}}

    def around(text: str, sequence: int) -> list[dict[str, Any]]:
        pieces = [piece("Sequence", text, sequence)]
        if "bos_token" in ends:
            pieces.insert(0, piece("SpecialToken", ends["bos_token"], sequence))
        if "eos_token" in ends:
            pieces.append(piece("SpecialToken", ends["eos_token"], sequence))
        return pieces

    document["post_processor"] = {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": [*around("A", 0), *around("B", 1)],
        "special_tokens": {
            token: {"id": token, "ids": [tokens[token]["id"]], "tokens": [token]} for token in ends.values()
        },
    }
    sides = {"bos_token": "before", "eos_token": "after"}
    added = " and ".join(f"{token} {sides[name]}" for name, token in ends.items())
    notes.append(f"tokenizer: {added} every text is added, as {SETTINGS} requires")


def _unsupported_notes(
    document: dict[str, Any], settings: Mapping[str, Any], name: str, has_tokenizer_json: bool
) -> Iterator[str]:
    """Notes on unsupported settings; because of them, transformers may encode texts differently.

    Args:
        document: the content of tokenizer.json, or its equivalent from older files.
        name: the tokenizer's class that the settings name.
        has_tokenizer_json: whether the folder has a tokenizer.json.
    """
    if name not in (*GPT2_CLASSES, *GENERIC_CLASSES):
        how = "tokenizer.json is used unchanged" if has_tokenizer_json else "its files are read as GPT-2's"
        yield f"tokenizer: the class {name} may change texts in code that its files do not record; {how}"
    if settings.get("split_special_tokens") is True:
        yield "tokenizer: split_special_tokens is ignored; a special token in a text becomes one id"
    if not has_tokenizer_json:
        return
    flags = [flag for flag in ("add_bos_token", "add_eos_token") if settings.get(flag) is True]
    if flags:
        yield (
            f"tokenizer: {' and '.join(flags)} in {SETTINGS} has no effect with a tokenizer.json, as in "
            "transformers; the template of that file applies"
        )
    if name in GPT2_CLASSES and (parts := _beyond_gpt2(document)):
        yield (
            f"tokenizer: the {' and '.join(parts)} of tokenizer.json is kept; GPT2Tokenizer in "
            "transformers 5 drops it, earlier versions do not"
        )


def _unlisted_notes(
    document: dict[str, Any], settings: Mapping[str, Any], listed: list[tuple[int, dict[str, Any]]]
) -> Iterator[str]:
    """A note on tokens that transformers 5 drops, because it rebuilds GPT-2's tokenizer from the settings
    only.
    """
    known = {token["content"] for _, token in listed} | {
        content_of(token) for token in special_tokens(settings)
    }
    dropped = [token["content"] for token in document["added_tokens"] if token["content"] not in known]
    if dropped:
        yield (
            f"tokenizer: added tokens of tokenizer.json that {SETTINGS} does not list are kept: "
            f"{', '.join(dropped)}; GPT2Tokenizer in transformers 5 drops them"
        )


def _beyond_gpt2(document: dict[str, Any]) -> list[str]:
    """The names of the parts of a tokenizer that differ from GPT-2's tokenizer, such as `normalizer`.

    Args:
        document: the content of tokenizer.json.
    """
    model = document["model"]
    return [
        part
        for part, other in (
            ("normalizer", document.get("normalizer")),
            ("pre-tokenizer", (document.get("pre_tokenizer") or {}).get("type") != "ByteLevel"),
            ("model", model.get("type", "BPE") != "BPE" or any(model.get(key) for key in MODEL_OPTIONS)),
        )
        if other
    ]


def _built(document: dict[str, Any], folder: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` document.

    Raises:
        BadInput: `tokenizers` refuses the document, or gives a token another id than the document does.
    """
    with tokenizer_errors(folder, "its tokenizer files are invalid"), dropped_stderr():
        tokenizer = Tokenizer.from_str(strict_json.dumps(document))
    for token in document["added_tokens"]:
        index = tokenizer.token_to_id(token["content"])
        if index != token["id"]:
            raise BadInput(
                f"the tokenizer encodes {token['content']} as {index}, but its files give it the id "
                f"{token['id']}",
                where=folder,
                fix="correct the id in the tokenizer's files",
            )
    return tokenizer
