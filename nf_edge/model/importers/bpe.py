"""Convert GPT-2's older tokenizer files, `vocab.json` and `merges.txt`, to a `tokenizer.json`."""

from pathlib import Path
from typing import Any

from tokenizers import models

from nf_edge.core.errors import BadInput
from nf_edge.core.quiet import dropped_stderr
from nf_edge.core.reading import read_json_object, read_text
from nf_edge.model.tokenizer import MOST_BYTES, MOST_TOKENS, tokenizer_errors

VOCAB, MERGES = "vocab.json", "merges.txt"


def bpe_document(folder: Path) -> dict[str, Any]:
    """Build the content of a `tokenizer.json` from a folder's vocab.json and merges.txt.

    It has GPT-2's pre-tokenizer and no added tokens.

    Raises:
        BadInput: a file cannot be read, or the files are not a BPE.
    """
    vocab = read_json_object(folder / VOCAB, MOST_BYTES)
    merges = []
    for line in read_text(folder / MERGES, MOST_BYTES).split("\n"):
        left, _, right = line.removesuffix("\r").partition(" ")
        if left and not line.startswith("#version"):
            merges.append((left, right))
    with (
        tokenizer_errors(folder, "vocab.json and merges.txt do not define a BPE tokenizer"),
        dropped_stderr(),
    ):
        models.BPE(vocab, merges)
    if max(vocab.values(), default=0) >= MOST_TOKENS:
        raise BadInput(
            f"has the token id {max(vocab.values()):,}, but nf-edge reads only ids below {MOST_TOKENS:,}",
            where=folder / VOCAB,
            fix="correct the id, or import a model with a smaller vocabulary",
        )
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": byte_level | {"trim_offsets": False},
        "decoder": byte_level | {"add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(vocab.items(), key=lambda entry: entry[1])),
            "merges": [list(pair) for pair in merges],
        },
    }
