"""A convolutional teacher for texts.  It makes different errors than a linear model of n-grams.

Kim, "Convolutional Neural Networks for Sentence Classification", EMNLP 2014.  Each filter contributes its
maximum over the text.  Because filters see token embeddings, they also respond to unknown n-grams.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from nf_edge.model.config import ModelConfig
from nf_edge.training.teacher import Teacher
from nf_edge.training.vectors import WordVectors

EMBEDDING_STD = 0.1
# Initial embeddings of tokens without a word vector; word vectors have a standard deviation of 1.
UNKNOWN_STD = 0.5
# The share of filter outputs to drop, as in Kim's paper.
FEATURE_DROPOUT = 0.5


class ConvolutionalClassifier(nn.Module):
    """A classifier: logits = W · (max over positions of relu(filters · embeddings around it)) + bias.

    The network is called like a NoiseFormer classifier: ids int64 [B, T] and a mask [B, T] or None → logits
    [B, labels].

    Args:
        channels: number of filters of each width; without word vectors, also the size of an embedding.
        widths: numbers of tokens that filters cover; each must be odd.
        dropout: share of the embeddings' values, from 0 to 1, that are dropped in training.
        vectors: initial embeddings; training changes them.
    """

    def __init__(
        self,
        vocab_size: int,
        channels: int,
        widths: Sequence[int],
        labels: int,
        dropout: float,
        vectors: WordVectors | None = None,
    ) -> None:
        super().__init__()
        self._dropout = dropout
        self.embedding = nn.Embedding(vocab_size, channels if vectors is None else vectors.table.shape[1])
        nn.init.normal_(self.embedding.weight, std=EMBEDDING_STD if vectors is None else UNKNOWN_STD)
        if vectors is not None:
            with torch.no_grad():
                self.embedding.weight[vectors.known] = vectors.table[vectors.known]
        self.filters = nn.ModuleList(
            nn.Conv1d(self.embedding.embedding_dim, channels, width, padding=width // 2) for width in widths
        )
        self.output = nn.Linear(len(widths) * channels, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        real = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        real = real[:, None].to(self.embedding.weight.dtype)
        embedded = F.dropout(self.embedding(input_ids), self._dropout, self.training).transpose(1, 2) * real
        # Outputs are at least 0, so the zeros of padding never exceed the maximum.
        features = [(F.relu(filters(embedded)) * real).amax(dim=2) for filters in self.filters]
        logits: Tensor = self.output(F.dropout(torch.cat(features, dim=1), FEATURE_DROPOUT, self.training))
        return logits


def _odd(width: int) -> int:
    if width < 1 or width % 2 == 0:
        raise ValueError("must be an odd number of tokens, at least 1")
    return width


class Convolutions(Teacher):
    """The recipe keys of a convolutional teacher with maximum pooling over the text."""

    kind: Literal["convolutions"]
    widths: tuple[Annotated[int, AfterValidator(_odd)], ...] = Field(
        min_length=1, description="numbers of tokens that filters cover; each has its own set of filters"
    )
    channels: int = Field(
        ge=1, description="number of filters of each width; without vectors, also the size of an embedding"
    )
    vectors: str | None = Field(
        None, description="word vectors as initial embeddings: a text file in the data folder"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the embeddings' values that are dropped")

    @property
    def name(self) -> str:
        return "convolutions"

    @property
    def description(self) -> str:
        widths = ", ".join(map(str, self.widths))
        text = f"a convolutional network of {self.channels} filters of each of the widths {widths}"
        return text if self.vectors is None else f"{text} on the word vectors of `{self.vectors}`"

    @property
    def vectors_file(self) -> str | None:
        return self.vectors

    def build(self, config: ModelConfig, vectors: WordVectors | None = None) -> nn.Module:
        return ConvolutionalClassifier(
            config.vocab_size, self.channels, self.widths, config.num_labels or 0, self.dropout, vectors
        )
