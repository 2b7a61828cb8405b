"""The size of a text that a language model is scored on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredText:
    """A text in overlapping windows.

    Attributes:
        tokens: number of tokens of the text.
        scored: number of tokens that are predicted: all except the first one and those beyond a limit.
        bytes: number of UTF-8 bytes of the scored tokens' text, which does not depend on the tokenizer.
        window: number of tokens of a window.
        stride: number of tokens by which windows move.
    """

    tokens: int
    scored: int
    bytes: int
    window: int
    stride: int

    @property
    def not_scored(self) -> int:
        """The number of tokens that no window predicts."""
        return self.tokens - self.scored
