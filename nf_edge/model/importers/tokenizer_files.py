"""The tokenizer of a Hugging Face folder as one `tokenizer.json`, with the ids that transformers gives.

Its tokens and settings are in up to six files: `tokenizer.json`, or GPT-2's older `vocab.json` and
`merges.txt`; `tokenizer_config.json`; and `special_tokens_map.json` and `added_tokens.json`, which count
where that one does not list the added tokens.
"""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import dropped_stderr
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.model.checkpoint import TOKENIZER
from nf_edge.model.importers.bpe import MERGES, VOCAB, bpe_document
from nf_edge.model.tokenizer import END_OF_TEXT, MOST_BYTES, read_tokenizer, refusing

SETTINGS, SPECIAL_TOKENS, ADDED_TOKENS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
# Classes of transformers: of a GPT-2 (the first where none is named), and for any tokenizer.json.
GPT2_CLASSES = ("GPT2Tokenizer", "GPT2TokenizerFast")
GENERIC_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")
NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# Named tokens that GPT-2's classes have where the settings do not say.
DEFAULTS = dict.fromkeys(("bos_token", "eos_token", "unk_token"), END_OF_TEXT)
# Lists of special tokens, by the names of two versions, or an object from names to tokens.
MORE_TOKENS = ("extra_special_tokens", "additional_special_tokens")
# Of a BPE; GPT-2's has none.
MODEL_OPTIONS = (
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
)
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def read_tokenizer_files(folder: Path, notes: list[str]) -> Path | Tokenizer | None:
    """A folder's tokenizer: its `tokenizer.json` where nothing is to be added, else one put together.

    Args:
        notes: what a user should know of the tokenizer is added here.

    Raises:
        BadInput: a file is not what its name says, or a token has another id there than it would get.
    """
    whole = is_there(folder / TOKENIZER)
    if whole:
        read_tokenizer(folder / TOKENIZER)
        document = {"added_tokens": []} | read_json_object(folder / TOKENIZER, MOST_BYTES)
    elif is_there(folder / VOCAB) and is_there(folder / MERGES):
        document = bpe_document(folder)
    else:
        return None
    before = strict_json.dumps(document)
    settings = _settings(folder)
    name = settings.get("tokenizer_class") or GPT2_CLASSES[0]
    if name in GPT2_CLASSES or not whole:
        settings = _with_defaults(settings, document, notes)
        _heed_prefix_space(document, settings, notes)
    listed = _listed_tokens(settings, folder)
    notes += _not_done(document, settings, name, whole)
    if whole and name in GPT2_CLASSES and "added_tokens_decoder" in _optional(folder / SETTINGS):
        notes += _not_listed(document, settings, listed)
    _heed_tokens(document, settings, listed, folder, notes)
    if not whole:
        _heed_template(document, settings, notes)
    if whole and strict_json.dumps(document) == before:
        return folder / TOKENIZER
    return _built(document, folder)


def _settings(folder: Path) -> dict[str, Any]:
    """`tokenizer_config.json`, with what the older files say where it does not list the added tokens."""
    settings = _optional(folder / SETTINGS)
    if "added_tokens_decoder" in settings:
        return settings
    settings |= _optional(folder / SPECIAL_TOKENS)
    added = _optional(folder / ADDED_TOKENS)
    if not all(type(index) is int for index in added.values()):
        raise BadInput("does not give a token an id", where=folder / ADDED_TOKENS)
    special = {_content(token) for token in _special_tokens(settings)}
    decoder = {str(index): {"content": token, "special": token in special} for token, index in added.items()}
    return settings | {"added_tokens_decoder": decoder}


def _optional(path: Path) -> dict[str, Any]:
    return read_json_object(path, MOST_BYTES) if is_there(path) else {}


def _with_defaults(settings: dict[str, Any], document: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    if END_OF_TEXT in _ids(document):
        return DEFAULTS | settings
    if any(name not in settings for name in DEFAULTS):
        notes.append(
            f"tokenizer: {END_OF_TEXT} is left out, which transformers adds where a GPT-2 has no such token"
        )
    return settings


def _heed_prefix_space(document: dict[str, Any], settings: Mapping[str, Any], notes: list[str]) -> None:
    """GPT-2's classes believe the settings, which mean no space where they say nothing, not the file."""
    pre, wanted = document.get("pre_tokenizer") or {}, settings.get("add_prefix_space") is True
    if pre.get("type") != "ByteLevel" or pre.get("add_prefix_space") is wanted:
        return
    pre["add_prefix_space"] = wanted
    reason = "says so" if wanted else "does not ask for one"
    notes.append(f"tokenizer: {'a' if wanted else 'no'} space is put before a text, for {SETTINGS} {reason}")


def _heed_tokens(
    document: dict[str, Any],
    settings: Mapping[str, Any],
    listed: list[tuple[int, dict[str, Any]]],
    folder: Path,
    notes: list[str],
) -> None:
    """Add the tokens of the settings to those of the document, and the attributes that they have there."""
    tokens = _added_tokens(document)
    own = {*tokens, END_OF_TEXT}
    for index, token in listed:
        content = token["content"]
        place = _id(content, document, tokens)
        if place != index:
            raise BadInput(
                f"the other files of the tokenizer give {content} the id {index}, but ids follow the "
                f"vocabulary's, as in transformers, which makes it {place}",
                where=folder,
                fix="list a token for every id in between, or correct the id",
            )
        tokens[content] = tokens.get(content, {}) | token | {"id": place}
    for token in _special_tokens(settings):
        content, place = _content(token), _id(_content(token), document, tokens)
        tokens[content] = (tokens.get(content) or _attributes(token, folder)) | {"id": place, "special": True}
    document["added_tokens"] = sorted(tokens.values(), key=lambda token: token["id"])
    if added := [f"{content} ({token['id']})" for content, token in tokens.items() if content not in own]:
        notes.append(f"tokenizer: added tokens of the files beside it: {', '.join(added)}")


def _added_tokens(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {token["content"]: token for token in document["added_tokens"]}


def _ids(document: dict[str, Any]) -> dict[str, int]:
    """Every token's id."""
    vocabulary = document["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram's, of [token, score]
        vocabulary = {token: index for index, (token, _) in enumerate(vocabulary)}
    return vocabulary | {token["content"]: token["id"] for token in document["added_tokens"]}


def _id(content: str, document: dict[str, Any], tokens: Mapping[str, dict[str, Any]]) -> int:
    """A token's id; of a new one, the one that `tokenizers` gives it."""
    if content in tokens:
        known: int = tokens[content]["id"]
        return known
    largest = max((token["id"] for token in tokens.values()), default=-1)
    return _ids(document).get(content, max(len(document["model"]["vocab"]), largest + 1))


def _listed_tokens(settings: Mapping[str, Any], folder: Path) -> list[tuple[int, dict[str, Any]]]:
    """Added tokens that have an id, in the order of these."""
    decoder = settings["added_tokens_decoder"] or {}
    try:
        listed = sorted(((int(index), token) for index, token in decoder.items()), key=itemgetter(0))
    except (AttributeError, TypeError, ValueError) as error:
        raise BadInput("added_tokens_decoder does not map ids to tokens", where=folder / SETTINGS) from error
    return [(index, _attributes(token, folder)) for index, token in listed]


def _special_tokens(settings: Mapping[str, Any]) -> Iterator[Any]:
    """The named special tokens, then the others, as texts or as objects."""
    named = [settings.get(name) for name in NAMED_TOKENS]
    more: list[Any] = []
    for key in MORE_TOKENS:
        found = settings.get(key) or []
        more += found.values() if isinstance(found, dict) else found if isinstance(found, list) else [found]
    # Tokens of some model's own, such as image_token, are texts.
    own = [
        token
        for name, token in settings.items()
        if name.endswith("_token") and name not in NAMED_TOKENS and isinstance(token, str)
    ]
    yield from (token for token in [*named, *more, *own] if token is not None)


def _content(token: Any) -> str:
    content = token.get("content") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""


def _attributes(token: Any, folder: Path) -> dict[str, Any]:
    """A token's content and flags, as tokenizer.json has them; transformers' own values where some lack."""
    given = token if isinstance(token, dict) else {"content": token, "special": True}
    content, special = _content(given), given.get("special", False)
    found = {"content": content} | dict.fromkeys(FLAGS, False) | {"normalized": not special}
    found |= {flag: given[flag] for flag in FLAGS if flag in given}
    if not content or not all(isinstance(found[flag], bool) for flag in FLAGS):
        raise BadInput(f"a file beside the tokenizer lists a token that is none: {token!r}", where=folder)
    return found


def _heed_template(document: dict[str, Any], settings: Mapping[str, Any], notes: list[str]) -> None:
    """Put the ends of a text around it, which transformers does where there is no tokenizer.json."""
    tokens = _added_tokens(document)
    ends = {
        name: _content(settings.get(name))
        for name in ("bos_token", "eos_token")
        if settings.get(f"add_{name}") is True and _content(settings.get(name)) in tokens
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
    notes.append(f"tokenizer: {added} a text is added, for {SETTINGS} says so")


def _not_done(document: dict[str, Any], settings: Mapping[str, Any], name: str, whole: bool) -> Iterator[str]:
    """Where transformers may read a text otherwise."""
    if name not in (*GPT2_CLASSES, *GENERIC_CLASSES):
        how = "tokenizer.json is taken as it is" if whole else "it is read as GPT-2's"
        yield f"tokenizer: what the class {name} does beside its files is not known here; {how}"
    if settings.get("split_special_tokens") is True:
        yield "tokenizer: split_special_tokens is not done: a special token in a text is one id"
    if not whole:
        return
    flags = [flag for flag in ("add_bos_token", "add_eos_token") if settings.get(flag) is True]
    if flags:
        yield (
            f"tokenizer: {' and '.join(flags)} in {SETTINGS} does nothing beside a tokenizer.json, as in "
            "transformers; that file's own template holds"
        )
    if name in GPT2_CLASSES and (parts := _beyond_gpt2(document)):
        yield (
            f"tokenizer: the {' and '.join(parts)} of tokenizer.json is kept; the GPT2Tokenizer of "
            "transformers 5 leaves it out, earlier ones do not"
        )


def _not_listed(
    document: dict[str, Any], settings: Mapping[str, Any], listed: list[tuple[int, dict[str, Any]]]
) -> Iterator[str]:
    """Tokens of the file that transformers 5 forgets, for it makes GPT-2's tokenizer anew of the settings."""
    known = {token["content"] for _, token in listed} | {
        _content(token) for token in _special_tokens(settings)
    }
    forgotten = [token["content"] for token in document["added_tokens"] if token["content"] not in known]
    if forgotten:
        yield (
            f"tokenizer: added tokens of tokenizer.json that {SETTINGS} does not list are kept: "
            f"{', '.join(forgotten)}; the GPT2Tokenizer of transformers 5 leaves them out"
        )


def _beyond_gpt2(document: dict[str, Any]) -> list[str]:
    """Parts of a tokenizer that GPT-2's has not."""
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
    with refusing(folder, "its files make no tokenizer"), dropped_stderr():
        tokenizer = Tokenizer.from_str(strict_json.dumps(document))
    for token in document["added_tokens"]:
        index = tokenizer.token_to_id(token["content"])
        if index != token["id"]:
            raise BadInput(
                f"the tokenizer reads {token['content']} as {index}, though its files say {token['id']}",
                where=folder,
            )
    return tokenizer
