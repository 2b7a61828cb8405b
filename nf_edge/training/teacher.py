"""The recipe keys of all teachers: the training of a teacher, and its weight among the teachers."""

from abc import abstractmethod

from pydantic import Field
from torch import nn

from nf_edge.core.yaml_schema import Closed
from nf_edge.model.config import ModelConfig
from nf_edge.training.settings import Settings
from nf_edge.training.vectors import WordVectors


class Teacher(Closed):
    """A classifier that learns the labels of a recipe's rows; the model then learns from the classifier.

    Each kind of teacher is a subclass with a literal `kind`, its own keys, and `build`.
    """

    weight: float = Field(1.0, gt=0, description="weight of its probabilities in the mean of all teachers")
    swap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of rows in which a phrase is replaced by another of the same label and length; a "
        "phrase is itself a row",
    )
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of a row's tokens that the padding token replaces"
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of probability spread over all labels")
    training: Settings

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the teacher in progress messages."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The description of the teacher in the model card."""

    @property
    def vectors_file(self) -> str | None:
        """The teacher's file of word vectors in the data folder; None if it uses none."""
        return None

    @abstractmethod
    def build(self, config: ModelConfig, vectors: WordVectors | None = None) -> nn.Module:
        """A new network with random weights from PyTorch's global generator.

        Args:
            vectors: the content of `vectors_file`.

        Returns:
            A network with the interface of a classifier: ids int64 [B, T] and a mask [B, T] or None → logits
            [B, labels].
        """
