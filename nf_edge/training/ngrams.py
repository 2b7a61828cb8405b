"""A linear model of a text's n-grams: quick to train, hard to beat on few texts, and too large to ship.

Wang and Manning, "Baselines and Bigrams", ACL 2012, show how good such models are at short texts.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from nf_edge.model.config import ModelConfig
from nf_edge.training.teacher import Teacher
from nf_edge.training.vectors import WordVectors

# Enough that few of a treebank's n-grams share a bucket.
BUCKETS = 2**18
# Primes that mix ids, so that neighbouring ones do not fall into neighbouring buckets.
MULTIPLIER, MODULUS = 1_000_003, 2**31 - 1


class NgramClassifier(nn.Module):
    """logits = Σ weight[bucket of n-gram] + bias, over all runs of one to `longest` tokens, hashed.

    It takes what a NoiseFormer classifier takes: ids int64 [B, T] and a mask [B, T] or None, and gives
    logits [B, labels].  A new one gives every label the same.
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
        """The bucket of every n-gram, [B, n-grams]; those with padding in them are in a bucket of zeros."""
        found, hashed = [], torch.zeros_like(ids)
        for n in range(1, self._longest + 1):
            last = ids[:, n - 1 :]
            hashed = (hashed[:, : last.shape[1]] * MULTIPLIER + last + n) % MODULUS
            found.append((hashed * MULTIPLIER % MODULUS % BUCKETS).where(real[:, n - 1 :], BUCKETS))
        return torch.cat(found, dim=1)


class Ngrams(Teacher):
    """A linear model of n-grams."""

    kind: Literal["ngrams"]
    longest: int = Field(ge=1, description="the longest run of tokens that it knows")

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
