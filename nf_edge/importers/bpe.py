"""GPT-2's older tokenizer files, `vocab.json` and `merges.txt`, as one tokenizer."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from nf_edge.errors import BadInput
from nf_edge.model.config import read_json_object
from nf_edge.model.tokenizer import END_OF_TEXT, MOST_BYTES, MOST_TOKENS, refusing
from nf_edge.quiet import dropped_stderr
from nf_edge.reading import read_text


def build_tokenizer(folder: Path) -> Tokenizer:
    """The byte-level BPE of a folder, with `<|endoftext|>` as its special token.

    `tokenizer_config.json` and `added_tokens.json` are heeded where they are.

    Raises:
        BadInput: a file is not what its name says.
    """
    vocab = read_json_object(folder / "vocab.json")
    merges = []
    for line in read_text(folder / "merges.txt", MOST_BYTES).split("\n"):
        left, _, right = line.removesuffix("\r").partition(" ")
        if left and not line.startswith("#version"):
            merges.append((left, right))
    with refusing(folder, "vocab.json and merges.txt are not a BPE"), dropped_stderr():
        model = models.BPE(vocab, merges)
    if max(vocab.values(), default=0) >= MOST_TOKENS:
        raise BadInput(f"has an id {max(vocab.values()):,}", where=folder / "vocab.json")
    settings, added = _optional(folder / "tokenizer_config.json"), _optional(folder / "added_tokens.json")
    tokenizer = Tokenizer(model)
    space = settings.get("add_prefix_space") is True
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if tokenizer.token_to_id(END_OF_TEXT) is not None:
        tokenizer.add_special_tokens([END_OF_TEXT])
    # A tokenizer numbers new tokens in the order in which they come.
    tokenizer.add_special_tokens(sorted(added, key=added.__getitem__))
    moved = [token for token, id in added.items() if tokenizer.token_to_id(token) != id]
    if moved:
        raise BadInput(
            f"gives ids that do not follow the vocabulary's: {', '.join(moved)}",
            where=folder / "added_tokens.json",
            fix="save the tokenizer as tokenizer.json and put it into the folder",
        )
    return tokenizer


def _optional(path: Path) -> dict:
    return read_json_object(path) if path.is_file() else {}
