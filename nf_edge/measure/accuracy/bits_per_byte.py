"""Bits per byte: a language model's loss on a text, comparable between tokenizers."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.compare import Score
from nf_edge.model.data.scored_text import ScoredText


@dataclass(frozen=True)
class BitsPerByte:
    """Bits that a model needs per byte of a text (Gao et al., The Pile, 2020, section 3.1).

    Attributes:
        value: bits per byte; infinite if the perplexity is infinite.
        error: standard error of `value`; None for a single window, or if `value` is infinite.
    """

    value: float
    error: float | None

    @classmethod
    def of(cls, score: Score, text: ScoredText) -> "BitsPerByte":
        """The bits per byte of a text, from the perplexity of its scored tokens."""
        assert score.perplexity is not None
        tokens_per_byte = text.scored / text.bytes / math.log(2)
        # Delta method: the standard error of log(x) is the standard error of x over x.
        error = None if score.perplexity_error is None else score.perplexity_error / score.perplexity
        return cls(
            tokens_per_byte * math.log(score.perplexity), None if error is None else tokens_per_byte * error
        )


@dataclass(frozen=True)
class TextScores:
    """Bits per byte of the reference and of the artifact on one text."""

    text: ScoredText
    reference: BitsPerByte
    artifact: BitsPerByte

    def to_json(self) -> dict[str, Any]:
        sides = {
            side: {"bits_per_byte": number(bits.value), "error": number(bits.error)}
            for side, bits in (("reference", self.reference), ("artifact", self.artifact))
        }
        return asdict(self.text) | {"not_scored": self.text.not_scored, **sides}
