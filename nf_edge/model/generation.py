"""Generating text: tokens from a decoder, and their text as they come."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from nf_edge.core.errors import BadInput
from nf_edge.core.notebook import Shown
from nf_edge.model import Decoder

# What stands for bytes that are no character, or not yet.
UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    ends: Collection[int] = (),
) -> Iterator[int]:
    """The tokens that follow a prompt, one at a time.

    The last one is one of `ends`, or the one after which there are `max_tokens` or no positions left in the
    cache.

    Args:
        prompt: ids, at least one.
        temperature: 0 takes the likeliest token; else one is drawn from softmax(logits / temperature).
        seed: of the drawing.

    Raises:
        BadInput: the prompt does not fit the cache, or logits are not finite.
    """
    random = np.random.default_rng(seed)
    logits = decoder.feed(prompt, 0)
    for left in range(max_tokens, 0, -1):
        token = _choose(logits, temperature, random)
        yield token
        if token in ends or left == 1 or decoder.length == decoder.capacity:
            return
        logits = decoder.feed([token], decoder.length)


@dataclass(frozen=True)
class Generated(Shown):
    """A text that was continued.

    Attributes:
        prompt_ids, ids: of the prompt, and of what follows it.
        text: of `ids`; None where ids were requested.
        ended: why it ends; "full" where the model has no positions left.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    text: str | None
    ended: Literal["end of text", "max tokens", "full"]

    def to_json(self) -> dict[str, Any]:
        return {
            "prompt_ids": list(self.prompt_ids),
            "ids": list(self.ids),
            "text": self.text,
            "ended": self.ended,
        }


class TextStream:
    """The text of tokens as they come; its pieces together are `tokenizer.decode` of all of them.

    A piece waits while its last character may lack bytes, which decode as U+FFFD until they are complete.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._text = ""

    def add(self, token: int) -> str:
        """The text that this token completes: "" of a special one, or where bytes of a character lack."""
        self._tokens.append(token)
        return self._advance_to(self._decoded().rstrip(UNFINISHED))

    def end(self) -> str:
        """The text that still waited."""
        return self._advance_to(self._decoded())

    def _decoded(self) -> str:
        text: str = self._tokenizer.decode(self._tokens)
        return text

    def _advance_to(self, text: str) -> str:
        before, self._text = self._text, text
        if text.startswith(before):
            return text[len(before) :]
        # A decoder that rewrites what it gave (WordPiece closes up "it 's"): what was shown stays.
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, text, strict=False)))
        return text[same:]


def _choose(logits: np.ndarray, temperature: float, random: np.random.Generator) -> int:
    if not np.isfinite(logits).all():
        raise BadInput(
            "the logits of the next token are not finite, so there is no likeliest one",
            fix="nf-edge check counts the answers that are not finite",
        )
    if temperature == 0:
        return int(logits.argmax())
    scores = logits.astype(np.float64)
    # The largest is taken off before dividing, so that no low temperature makes NaN of two infinities.
    with np.errstate(over="ignore"):
        weights = np.exp((scores - scores.max()) / temperature)
    return int(random.choice(len(weights), p=weights / weights.sum()))
