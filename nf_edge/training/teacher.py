"""What every kind of teacher has in a recipe: how it learns the labels, and how much its word counts."""

from abc import abstractmethod

from pydantic import Field
from torch import nn

from nf_edge.core.yaml_schema import Closed
from nf_edge.model.config import ModelConfig
from nf_edge.training.settings import Settings
from nf_edge.training.vectors import WordVectors


class Teacher(Closed):
    """A classifier that learns the labels of a recipe's rows, for a model to learn from it.

    A kind of teacher is a subclass: a literal `kind`, its own keys, and how to build it.
    """

    weight: float = Field(1.0, gt=0, description="of its probabilities in the teachers' mean")
    swap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the rows in which a phrase, a row itself, is replaced by another of its label",
    )
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of a row's tokens that the padding token replaces"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    training: Settings

    @property
    @abstractmethod
    def name(self) -> str:
        """What a user is told of it while it learns."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What the model card says that it is."""

    @property
    def vectors_file(self) -> str | None:
        """Its file of word vectors, in the folder of data; None of a teacher that begins without."""
        return None

    @abstractmethod
    def build(self, config: ModelConfig, vectors: WordVectors | None = None) -> nn.Module:
        """A new one, drawn from the global random numbers, with the vectors of `vectors_file`.

        It takes what a model of `config` takes, ids int64 [B, T] and a mask [B, T] or None, and gives
        logits [B, labels].
        """
