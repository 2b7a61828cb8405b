"""`tokenizer.json`: the file of Hugging Face `tokenizers` that stands beside a text model's weights."""

from pathlib import Path

from tokenizers import Tokenizer

from nf_edge.errors import BadInput

# GPT-2's only special token: between two documents, and where generation ends.
END_OF_TEXT = "<|endoftext|>"


def read_tokenizer(path: Path) -> Tokenizer:
    """Load a `tokenizer.json`.

    Raises:
        BadInput: the file is missing or is not a tokenizer.
    """
    if not path.is_file():
        raise BadInput("no such file", where=path)
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises the bare class
        raise BadInput(f"is not a tokenizer.json: {error}", where=path) from error


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The smallest vocabulary that has room for every token's id (ids may leave gaps)."""
    return max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
