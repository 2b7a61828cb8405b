"""`tokenizer.json`: the file of Hugging Face `tokenizers` that stands beside a text model's weights."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput, NfEdgeError
from nf_edge.core.quiet import dropped_stderr
from nf_edge.core.reading import MIB, read_json_object, read_text
from nf_edge.model.text_growth import refuse_growth

# The largest in use, of 250,000 tokens in all scripts, have some 35 MB.
MOST_BYTES = 128 * MIB
MOST_TOKENS = 10_000_000
# A text of several scripts.
PROBE = "It's 3 o'clock: é, 中文, 🙂."

# GPT-2's only special token: between two documents, and where generation ends.
END_OF_TEXT = "<|endoftext|>"
# How a batch was cut and filled when the file was saved, which is no part of how a text is read.
BATCH_SETTINGS = ("padding", "truncation")


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json`, with padding and truncation off whatever it was saved with.

    Raises:
        BadInput: the file is missing, unreadable, too large, or is not a tokenizer.
    """
    text = read_text(path, MOST_BYTES)
    with refusing(path, "is not a tokenizer.json"), dropped_stderr():
        refuse_growth(text, PROBE)
        tokenizer = Tokenizer.from_str(text)
        # Some files load, and encode no text at all.  A text that one has no tokens for is another matter.
        with contextlib.suppress(Exception):
            tokenizer.decode(tokenizer.encode(PROBE).ids)
        tokenizer.no_padding()
        tokenizer.no_truncation()
    if vocabulary_size(tokenizer) > MOST_TOKENS:
        # For each id up to the largest it takes memory when it is written.
        largest = vocabulary_size(tokenizer) - 1
        raise BadInput(f"has an id {largest:,}; at most {MOST_TOKENS:,} tokens are read", where=path)
    return tokenizer


@contextlib.contextmanager
def refusing(where: str | Path, what: str) -> Iterator[None]:
    """Whatever `tokenizers` raises in the block becomes a `BadInput` of `what`.

    It raises the bare class, and where its Rust panics one that is no `Exception`.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, NfEdgeError) or not (isinstance(error, Exception) or _is_panic(error)):
            raise
        raise BadInput(f"{what}: {error}", where=where) from error


def _is_panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a `tokenizer.json`; the copy has padding and truncation off, for whoever reads it next.

    Raises:
        BadInput: `source` is missing or is not a tokenizer.
    """
    read_tokenizer(source)
    document = read_json_object(source, MOST_BYTES)
    if not any(document.get(key) for key in BATCH_SETTINGS):
        shutil.copyfile(source, target)
        return
    document |= dict.fromkeys(BATCH_SETTINGS)
    target.write_text(strict_json.dumps(document, ascii_only=False), encoding="utf-8")


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The smallest vocabulary that has room for every token's id (ids may leave gaps)."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
