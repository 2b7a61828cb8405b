"""Text to token ids by a checkpoint's `tokenizer.json`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.model.tokenizer import read_tokenizer, refusing


@dataclass(frozen=True)
class Encoded:
    """Token ids, and whether some were left out."""

    ids: tuple[int, ...]
    cut: bool


Encode = Callable[[str], Encoded]


def text_encoder(tokenizer_file: Path | None, source: str, length: int | None = None) -> Encode:
    """The function from a text to its ids, not padded.

    Args:
        source: the data whose text needs it, for the message.
        length: cut a longer text to it, as transformers does: what the tokenizer puts around a text stays.

    Raises:
        BadInput: there is no tokenizer, or it cannot be read, or it leaves no room for text.
    """
    if tokenizer_file is None:
        raise BadInput(
            "has text, but the model has no tokenizer.json to encode it with",
            where=source,
            fix="put the model's tokenizer.json beside its config.json, or give `input_ids`",
        )
    tokenizer = read_tokenizer(tokenizer_file)
    added = tokenizer.num_special_tokens_to_add(is_pair=False)
    if length is not None and added >= length:
        raise BadInput(
            f"adds {added} tokens to every text, which leaves no room for it in {length}",
            where=tokenizer_file,
            fix="use a recipe whose shapes.length is larger",
        )

    def encode(text: str) -> Encoded:
        text.encode()  # a ValueError on half a surrogate pair, which JSON can hold and tokenizers cannot
        with refusing(tokenizer_file, "cannot encode a text"):
            encoding = tokenizer.encode(text)
        ids: list[int] = encoding.ids
        if length is None or len(ids) <= length:
            return Encoded(tuple(ids), cut=False)
        # The truncation of `tokenizers` gives the same, but makes all the pieces that it cuts off as well.
        after = encoding.special_tokens_mask[::-1].index(0)
        return Encoded((*ids[: length - after], *ids[len(ids) - after :]), cut=True)

    return encode
