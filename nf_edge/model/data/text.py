"""Encode text as token ids with a checkpoint's `tokenizer.json`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.model.tokenizer import read_tokenizer, tokenizer_errors


@dataclass(frozen=True)
class Encoded:
    """Token ids of a text, and whether the text was cut."""

    ids: tuple[int, ...]
    cut: bool


Encode = Callable[[str], Encoded]


def text_encoder(tokenizer_file: Path | None, source: str, length: int | None = None) -> Encode:
    """A function that encodes a text without padding.

    Args:
        source: the name of the data, for messages.
        length: longer texts are cut to this many tokens, as in transformers: the special tokens that the
            tokenizer adds around a text stay.  None: texts are not cut.

    Raises:
        BadInput: there is no tokenizer, it cannot be read, or its special tokens alone fill `length`.
    """
    if tokenizer_file is None:
        raise BadInput(
            "has text, but the model has no tokenizer.json to encode it",
            where=source,
            fix="put the model's tokenizer.json next to its config.json, or give `input_ids`",
        )
    tokenizer = read_tokenizer(tokenizer_file)
    added = tokenizer.num_special_tokens_to_add(is_pair=False)
    if length is not None and added >= length:
        raise BadInput(
            f"adds {added} special tokens to every text, but a text may have only {length} tokens in total",
            where=tokenizer_file,
            fix="use a recipe with a larger shapes.length",
        )

    def encode(text: str) -> Encoded:
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON allows unpaired surrogates; tokenizers do not
            problem = "text has an unpaired surrogate (a \\ud800 to \\udfff escape); remove it"
            raise ValueError(problem) from error
        with tokenizer_errors(tokenizer_file, "cannot encode a text"):
            encoding = tokenizer.encode(text)
        ids: list[int] = encoding.ids
        if length is None or len(ids) <= length:
            return Encoded(tuple(ids), cut=False)
        # The same result as the truncation of `tokenizers`, which would also compute all parts that it cuts
        # off.
        after = encoding.special_tokens_mask[::-1].index(0)
        return Encoded((*ids[: length - after], *ids[len(ids) - after :]), cut=True)

    return encode
