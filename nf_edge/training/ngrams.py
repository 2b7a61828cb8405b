"""A linear teacher on n-grams.  It is fast to train and accurate on small data, but too large for a device.

Wang and Manning, "Baselines and Bigrams", ACL 2012, show the accuracy of such models on short texts.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from nf_edge.model.config import ModelConfig
from nf_edge.training.teacher import Teacher
from nf_edge.training.vectors import WordVectors

# Number of hash buckets, large enough that few n-grams of a treebank share a bucket.
BUCKETS = 2**18
# Primes that mix ids, so that neighbouring ids get distant buckets.
MULTIPLIER, MODULUS = 1_000_003, 2**31 - 1


class NgramClassifier(nn.Module):
    """A linear classifier: logits = Σ weight[bucket of n-gram] + bias.

    The sum is over all n-grams, which are runs of one to `longest` tokens.

    The network is called like a NoiseFormer classifier: ids int64 [B, T] and a mask [B, T] or None → logits
    [B, labels].  Initially all logits are 0.
    """

    def __init__(self, longest: int, labels: int) -> None:
        super().__init__()
        self._longest = longest
        self.weight = nn.Parameter(torch.zeros(BUCKETS + 1, labels))
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        return (
            F.embedding(self._buckets(input_ids, mask.bool()), self.weight, padding_idx=BUCKETS).sum(dim=1)
            + self.bias
        )

    def _buckets(self, ids: Tensor, real: Tensor) -> Tensor:
        """The bucket of every n-gram, int64 [B, n-grams]; n-grams with padding get a bucket of zero
        weights.

        Args:
            real: bool [B, T], true for tokens, false for padding.
        """
        buckets, hashed = [], torch.zeros_like(ids)
        for n in range(1, self._longest + 1):
            last = ids[:, n - 1 :]
            hashed = (hashed[:, : last.shape[1]] * MULTIPLIER + last + n) % MODULUS
            buckets.append((hashed * MULTIPLIER % MODULUS % BUCKETS).where(real[:, n - 1 :], BUCKETS))
        return torch.cat(buckets, dim=1)


class Ngrams(Teacher):
    """The recipe keys of a linear teacher on n-grams."""

    kind: Literal["ngrams"]
    longest: int = Field(ge=1, description="longest n-gram, in tokens")

    @property
    def name(self) -> str:
        return f"{self.longest}-grams"

    @property
    def description(self) -> str:
        return "a linear model of " + (
            "single tokens" if self.longest == 1 else f"1- to {self.longest}-grams"
        )

    def build(self, config: ModelConfig, vectors: WordVectors | None = None) -> nn.Module:
        return NgramClassifier(self.longest, config.num_labels or 0)
