"""GPT-2's older tokenizer files, `vocab.json` and `merges.txt`, as the content of a `tokenizer.json`."""

from pathlib import Path
from typing import Any

from tokenizers import models

from nf_edge.errors import BadInput

VOCAB, MERGES = "vocab.json", "merges.txt"


def bpe_document(folder: Path) -> dict[str, Any]:
    """The byte-level BPE of a folder, with GPT-2's pre-tokenizer and no added tokens.

    Raises:
        BadInput: a file is not what its name says.
    """
    try:
        vocab, merges = models.BPE.read_file(str(folder / VOCAB), str(folder / MERGES))
        models.BPE(vocab, merges)
    except Exception as error:  # tokenizers raises the bare class
        raise BadInput(f"vocab.json and merges.txt are not a BPE: {error}", where=folder) from error
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
