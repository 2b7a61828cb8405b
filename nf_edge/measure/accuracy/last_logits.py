"""The logits of a text's last tokens, without the logits of all tokens in memory."""

import torch
from torch import Tensor, nn

from nf_edge.model import CausalLM

# Tokens whose logits are in memory at once.
PIECE = 128


class LastLogits(nn.Module):
    """A language model that returns the logits of the last tokens: int64 [1, T] → float32 [1, `last`, V].

    The head computes the logits of all tokens, one piece after the other, so that `finite` checks them too.
    """

    def __init__(self, network: CausalLM, last: int = 1) -> None:
        super().__init__()
        self.transformer, self.lm_head, self.origin = network.transformer, network.lm_head, network.origin
        self._last = last

    def forward(self, input_ids: Tensor) -> Tensor:
        kept: list[Tensor] = []
        pieces = -(-self._last // PIECE) + 1  # the last tokens may lie in one piece more than they fill
        for hidden in self.transformer(input_ids).split(PIECE, dim=1):
            kept = [*kept[1 - pieces :], self.lm_head(hidden)]
        return torch.cat(kept, dim=1)[:, -self._last :]
