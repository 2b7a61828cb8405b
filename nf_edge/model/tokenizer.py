"""Read and write `tokenizer.json`, the Hugging Face `tokenizers` file of a text model."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Tokenizer

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput, NfEdgeError
from nf_edge.core.quiet import dropped_stderr
from nf_edge.core.reading import MIB, read_json_object, read_text
from nf_edge.model.text_growth import refuse_growth

# Largest accepted file: the largest files in use have 250,000 tokens and about 35 MB.
MOST_BYTES = 128 * MIB
MOST_TOKENS = 10_000_000
# A test text in several scripts.
PROBE = "It's 3 o'clock: é, 中文, 🙂."

# GPT-2's only special token: it separates documents and ends generation.
END_OF_TEXT = "<|endoftext|>"
# Settings for batches when the file was saved; they must not affect the encoding of a text.
BATCH_SETTINGS = ("padding", "truncation")


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json`, with padding and truncation switched off.

    Raises:
        BadInput: the file is missing, unreadable, too large, or not a tokenizer.
    """
    text = read_text(path, MOST_BYTES)
    with tokenizer_errors(path, "is not a tokenizer.json"), dropped_stderr():
        refuse_growth(text, PROBE)
        tokenizer = Tokenizer.from_str(text)
        # Some files load but crash on every text.  An ordinary error for the probe text is accepted.
        with contextlib.suppress(Exception):
            tokenizer.decode(tokenizer.encode(PROBE).ids)
        tokenizer.no_padding()
        tokenizer.no_truncation()
    if vocabulary_size(tokenizer) > MOST_TOKENS:
        # Writing the file takes memory for every id up to the largest.
        largest = vocabulary_size(tokenizer) - 1
        raise BadInput(
            f"has the token id {largest:,}; ids must be below {MOST_TOKENS:,}",
            where=path,
            fix="give a tokenizer with smaller ids",
        )
    return tokenizer


@contextlib.contextmanager
def tokenizer_errors(where: str | Path, what: str) -> Iterator[None]:
    """Turn any error of `tokenizers` in the block into a `BadInput` that starts with `what`.

    The library raises plain `Exception`; when its Rust code panics, it raises a class outside `Exception`.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, NfEdgeError) or not (isinstance(error, Exception) or _is_panic(error)):
            raise
        fix = "save the tokenizer again with the installed tokenizers package"
        raise BadInput(f"{what} ({error})", where=where, fix=fix) from error


def _is_panic(error: BaseException) -> bool:
    return type(error).__name__ == "PanicException"


def write_tokenizer(source: Path, target: Path) -> None:
    """Copy a `tokenizer.json`, with padding and truncation switched off in the copy.

    Raises:
        BadInput: `source` is missing or not a tokenizer.
    """
    target.write_bytes(copied_tokenizer(source))


def copied_tokenizer(source: Path) -> bytes:
    """The content that `write_tokenizer` writes.

    Raises:
        BadInput: `source` is missing or not a tokenizer.
    """
    read_tokenizer(source)
    document = read_json_object(source, MOST_BYTES)
    if not any(document.get(key) for key in BATCH_SETTINGS):
        return source.read_bytes()
    document |= dict.fromkeys(BATCH_SETTINGS)
    return strict_json.dumps(document, ascii_only=False).encode("utf-8")


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The number of embedding rows that a tokenizer needs: its largest token id plus one."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
