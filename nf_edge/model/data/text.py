"""Encode texts and text pairs as token ids with a checkpoint's `tokenizer.json`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Encoding, Tokenizer

from nf_edge.core.errors import BadInput
from nf_edge.model.config import ModelConfig
from nf_edge.model.tokenizer import read_tokenizer, tokenizer_errors


@dataclass(frozen=True)
class Encoded:
    """Token ids of a text or a pair, and whether it was cut."""

    ids: tuple[int, ...]
    cut: bool


@dataclass(frozen=True)
class Encode:
    """Encodes texts without padding.

    Attributes:
        length: longer texts are cut to this many tokens; None: texts are not cut.
    """

    tokenizer: Tokenizer
    tokenizer_file: Path
    length: int | None

    def __call__(self, text: str, second: str | None = None) -> Encoded:
        """The ids of a text, or of a pair, with the special tokens that the tokenizer adds.

        A text that is too long loses its last tokens.  A pair that is too long loses tokens one by one, each
        at the end of the longer text.  The tokenizer's special tokens stay.  The truncation `longest_first`
        of `tokenizers` gives the same ids, but also computes all parts that it cuts off.

        Raises:
            ValueError: the text is not Unicode.
        """
        for name, each in (("the text", text), ("the second text", second or "")):
            try:
                each.encode()
            except UnicodeEncodeError as error:  # JSON allows unpaired surrogates; tokenizers do not
                problem = f"{name} has an unpaired surrogate (a \\ud800 to \\udfff escape); remove it"
                raise ValueError(problem) from error
        with tokenizer_errors(self.tokenizer_file, "cannot encode a text"):
            encoding = self.tokenizer.encode(text, second)
        if self.length is None or len(encoding.ids) <= self.length:
            return Encoded(tuple(encoding.ids), cut=False)
        return Encoded(_cut(encoding, self.length), cut=True)

    def require_room(self, *, pairs: bool) -> None:
        """Raise BadInput if the special tokens of a text or pair leave no room for text in `length`."""
        added = self.tokenizer.num_special_tokens_to_add(is_pair=pairs)
        if self.length is not None and added >= self.length:
            raise BadInput(
                f"adds {added} special tokens to every {'pair' if pairs else 'text'}, "
                f"but a text may have only {self.length} tokens in total",
                where=self.tokenizer_file,
                fix="use a recipe with a larger shapes.length",
            )

    def require_ids_of(self, config: ModelConfig, ids: Iterable[int], source: str) -> None:
        """Raise BadInput if an id of the text in `source` is outside the model's vocabulary."""
        largest = max(ids, default=0)
        if largest >= config.vocab_size:
            last = config.vocab_size - 1
            raise BadInput(
                f"gives id {largest} for text of {source}, but the model's ids are 0 to {last}",
                where=self.tokenizer_file,
                fix="replace this file with the tokenizer that the model was trained with",
            )

    @property
    def separates_pairs(self) -> bool:
        """Whether special tokens show where the first text of a pair ends."""
        return self.tokenizer.num_special_tokens_to_add(is_pair=True) > 0


def text_encoder(tokenizer_file: Path | None, source: str, length: int | None = None) -> Encode:
    """The encoder of a model's texts.

    Args:
        tokenizer_file: the model's `tokenizer.json`; None if the model has none, which is an error.
        source: the name of the data, for messages.
        length: longer texts are cut to this many tokens; None: texts are not cut.

    Raises:
        BadInput: there is no tokenizer, or it cannot be read.
    """
    if tokenizer_file is None:
        raise BadInput(
            "has text, but the model has no tokenizer.json to encode it",
            where=source,
            fix="put the model's tokenizer.json next to its config.json, or give `input_ids`",
        )
    return Encode(read_tokenizer(tokenizer_file), tokenizer_file, length)


def _cut(encoding: Encoding, length: int) -> tuple[int, ...]:
    """The ids of an encoding, cut to `length`; only tokens of the texts are cut, never special tokens."""
    sides = encoding.sequence_ids
    special = sides.count(None)
    kept = _kept(sides.count(0), sides.count(1), length - special)
    ids, done = [], [0, 0]
    for token, side in zip(encoding.ids, sides, strict=True):
        if side is None:
            ids.append(token)
        elif done[side] < kept[side]:
            ids.append(token)
            done[side] += 1
    return tuple(ids)


def _kept(first: int, second: int, room: int) -> tuple[int, int]:
    """How many tokens to keep of two texts so that they fill at most `room` tokens.

    The longer text loses tokens first, until both have equal length.

    Args:
        first, second: numbers of tokens of the texts.
    """
    shorter = min(first, second)
    longer = max(shorter, room - shorter)
    if shorter + longer > room:
        shorter = room // 2
        longer = room - shorter
    return (shorter, longer) if first <= second else (longer, shorter)
