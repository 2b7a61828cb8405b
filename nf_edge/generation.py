"""Generating text: tokens from a decoder, and their text as they come."""

from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from nf_edge.errors import BadInput
from nf_edge.model import Decoder


def generate(
    decoder: Decoder,
    prompt: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
    end: int | None = None,
) -> Iterator[int]:
    """The tokens that follow a prompt, one at a time.

    The last one is `end`, or the one after which there are `max_tokens` or no positions left in the cache.

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
        if token == end or left == 1 or decoder.length == decoder.capacity:
            return
        logits = decoder.feed([token], decoder.length)


def texts(tokenizer: Tokenizer, tokens: Iterator[int]) -> Iterator[tuple[int, str]]:
    """Each token with the text that it completes: "" of a special one, or where bytes of a character lack."""
    stream = DecodeStream(skip_special_tokens=True)
    for token in tokens:
        yield token, stream.step(tokenizer, token) or ""


def _choose(logits: np.ndarray, temperature: float, random: np.random.Generator) -> int:
    if not np.isfinite(logits).all():
        raise BadInput(
            "the logits of the next token are not finite, so there is no likeliest one",
            fix="nf-edge check tells how many answers are so",
        )
    if temperature == 0:
        return int(logits.argmax())
    scores = logits.astype(np.float64)
    # The largest is taken off before dividing, so that no low temperature makes NaN of two infinities.
    with np.errstate(over="ignore"):
        weights = np.exp((scores - scores.max()) / temperature)
    return int(random.choice(len(weights), p=weights / weights.sum()))
