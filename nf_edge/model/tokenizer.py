"""`tokenizer.json`: the file of Hugging Face `tokenizers` that stands beside a text model's weights."""

import shutil
from pathlib import Path

from tokenizers import Tokenizer

from nf_edge import strict_json
from nf_edge.errors import BadInput

# GPT-2's only special token: between two documents, and where generation ends.
END_OF_TEXT = "<|endoftext|>"
# How a batch was cut and filled when the file was saved, which is no part of how a text is read.
BATCH_SETTINGS = ("padding", "truncation")


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json`, with padding and truncation off whatever it was saved with.

    Raises:
        BadInput: the file is missing or is not a tokenizer.
    """
    if not path.is_file():
        raise BadInput("no such file", where=path)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises the bare class
        raise BadInput(f"is not a tokenizer.json: {error}", where=path) from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a `tokenizer.json`; the copy has padding and truncation off, for whoever reads it next.

    Raises:
        BadInput: `source` is missing or is not a tokenizer.
    """
    read_tokenizer(source)
    try:
        document = strict_json.loads(source.read_bytes())
    except ValueError as error:
        raise BadInput(f"is not a tokenizer.json: {error}", where=source) from error
    if not any(document.get(key) for key in BATCH_SETTINGS):
        shutil.copyfile(source, target)
        return
    document |= dict.fromkeys(BATCH_SETTINGS)
    target.write_text(strict_json.dumps(document, ascii_only=False), encoding="utf-8")


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The smallest vocabulary that has room for every token's id (ids may leave gaps)."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
