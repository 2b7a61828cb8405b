"""Generate text: sample tokens from a decoder and stream their text."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

import numpy as np
from tokenizers import Tokenizer

from nf_edge.core.errors import BadInput
from nf_edge.core.notebook import HtmlValue
from nf_edge.model import Decoder

# The decoded character for bytes that are not a complete character (yet).
UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    end_tokens: Collection[int] = (),
) -> Iterator[int]:
    """Yield the token ids that follow a prompt, one at a time.

    Generation stops after one of `end_tokens`, after `max_tokens`, or when the cache is full.

    Args:
        prompt: token ids, at least one.
        temperature: 0 takes the most likely token; otherwise tokens are drawn from
            softmax(logits / temperature).
        seed: seed of the random draws.

    Raises:
        BadInput: the prompt does not fit into the cache, or logits are not finite.
    """
    random = np.random.default_rng(seed)
    logits = decoder.feed(prompt, 0)
    for left in range(max_tokens, 0, -1):
        token = _choose(logits, temperature, random)
        yield token
        if token in end_tokens or left == 1 or decoder.length == decoder.capacity:
            return
        logits = decoder.feed([token], decoder.length)


Ended = Literal["end of text", "max tokens", "full"]


@dataclass(frozen=True)
class Generated(HtmlValue):
    """A prompt and its continuation.

    Attributes:
        prompt_ids: token ids of the prompt.
        ids: token ids of the continuation.
        text: the decoded continuation; None if only ids were requested.
        ended: why generation stopped.  "end of text": the model generated an end-of-text token.
            "max tokens": the requested number of tokens was reached.  "full": no positions are left.
        prompt: the prompt as text; None if only ids were requested.
    """

    prompt_ids: tuple[int, ...]
    ids: tuple[int, ...]
    text: str | None
    ended: Ended
    prompt: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "prompt_ids": list(self.prompt_ids),
            "ids": list(self.ids),
            "text": self.text,
            "ended": self.ended,
        }


class TextStream:
    """Decodes tokens one at a time; the pieces joined equal `tokenizer.decode` of all tokens.

    The first bytes of an unfinished character decode as U+FFFD.  So a U+FFFD at the end is held back until
    more tokens follow, or until `end` is called.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._tokens: list[int] = []
        self._text = ""

    def add(self, token: int) -> str:
        """The text that this token completes; "" for a special token or an unfinished character."""
        self._tokens.append(token)
        return self._advance_to(self._decoded().rstrip(UNFINISHED))

    def end(self) -> str:
        """The rest of the text, which was held back; call this method after the last token."""
        return self._advance_to(self._decoded())

    def _decoded(self) -> str:
        text: str = self._tokenizer.decode(self._tokens)
        return text

    def _advance_to(self, text: str) -> str:
        before, self._text = self._text, text
        if text.startswith(before):
            return text[len(before) :]
        # Some decoders rewrite earlier text (WordPiece joins "it 's"). The printed text stays, so only the
        # rest follows.
        same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, text, strict=False)))
        return text[same:]


def _choose(logits: np.ndarray, temperature: float, random: np.random.Generator) -> int:
    if not np.isfinite(logits).all():
        raise BadInput(
            "the logits of the next token are not finite, so no token can be chosen",
            fix="use a recipe that computes in float32 or quantizes less; nf-edge check counts the affected "
            "predictions",
        )
    if temperature == 0:
        return int(logits.argmax())
    scores = logits.astype(np.float64)
    # Subtracting the maximum first avoids inf - inf = NaN at a low temperature.
    with np.errstate(over="ignore"):
        weights = np.exp((scores - scores.max()) / temperature)
    return int(random.choice(len(weights), p=weights / weights.sum()))
