"""The logits of a text's last tokens, without computing the logits of its other tokens."""

from functools import cached_property

from torch import Tensor, nn

from nf_edge.model import CausalLM

# Tokens whose logits are in memory at once, and rows of the head that are read at once.
PIECE, ROWS = 128, 1 << 12
# A bound of a logit below the largest float32, 3.4e38, with room for rounding.
LARGEST = 1e38


class LastLogits(nn.Module):
    """A language model that returns the logits of the last tokens: int64 [1, T] → float32 [1, `last`, V].

    The logits of the other tokens are not computed if they are certainly finite: every partial sum of a logit
    is at most Σ|h| · max|W|.  Otherwise the head computes them, so that `finite` checks them.
    """

    def __init__(self, network: CausalLM, last: int = 1) -> None:
        super().__init__()
        self.transformer, self.lm_head, self.origin = network.transformer, network.lm_head, network.origin
        self._last = last

    def forward(self, input_ids: Tensor) -> Tensor:
        hidden = self.transformer(input_ids)
        before = hidden[:, : -self._last]
        if not self._certainly_finite(before):
            for piece in before.split(PIECE, dim=1):
                self.lm_head(piece)
        logits: Tensor = self.lm_head(hidden[:, -self._last :])
        return logits

    def _certainly_finite(self, hidden: Tensor) -> bool:
        """Whether the head's logits of all these tokens, [1, T, D], are finite; false if a value is NaN."""
        sums = hidden.double().abs().sum(dim=-1)
        return bool((sums * self._largest_weight < LARGEST).all())

    @cached_property
    def _largest_weight(self) -> float:
        """The largest absolute value in the head's matrix [V, D]."""
        return max(float(rows.abs().max()) for rows in self.lm_head.weight.split(ROWS))
