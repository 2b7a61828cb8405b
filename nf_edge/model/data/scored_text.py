"""The size of a text on which a language model is scored."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoredText:
    """The size of a text that is read in overlapping windows.

    Attributes:
        tokens: number of tokens of the text.
        scored: number of tokens that are predicted: all but the first one, up to the limit on windows.
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
