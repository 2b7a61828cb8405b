"""Text to token ids by a checkpoint's `tokenizer.json`."""

from collections.abc import Callable
from pathlib import Path

from nf_edge.errors import BadInput
from nf_edge.model.tokenizer import read_tokenizer, refusing

Encode = Callable[[str], list[int]]


def text_encoder(tokenizer_file: Path | None, source: str) -> Encode:
    """The function from a text to its ids, neither padded nor cut.

    Args:
        source: the data whose text needs it, for the message.

    Raises:
        BadInput: there is no tokenizer, or it cannot be read.
    """
    if tokenizer_file is None:
        raise BadInput(
            "has text, but the model has no tokenizer.json to encode it with",
            where=source,
            fix="put the model's tokenizer.json beside its config.json, or give `input_ids`",
        )
    tokenizer = read_tokenizer(tokenizer_file)
    # Whatever they were set to when it was made: here rows are cut, and counted, by their reader.
    tokenizer.no_padding()
    tokenizer.no_truncation()

    def encode(text: str) -> list[int]:
        text.encode()  # a ValueError on half a surrogate pair, which JSON can hold and tokenizers cannot
        with refusing(tokenizer_file, "cannot encode a text"):
            ids: list[int] = tokenizer.encode(text).ids
        return ids

    return encode
