"""Training recipes: what to train on what, as data.

`recipes/training/*.yaml` are the bundled ones; a user's own file works the same way.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from nf_edge.model.config import ModelConfig, NoiseConfig
from nf_edge.resources import resolve
from nf_edge.training.settings import Settings
from nf_edge.yaml_file import Closed, load


class Noise(NoiseConfig, extra="forbid"):
    """`noise` of config.json, refusing unknown keys."""


class Model(ModelConfig, extra="forbid"):
    """What config.json will hold, refusing unknown keys."""

    noise: Noise = Noise()


class Data(Closed):
    """Sources as `nf_edge.data.load_rows` takes them; for a language model also `.txt` files."""

    train: str
    valid: str = Field(description="chooses the best checkpoint")
    test: str = Field(description="held out: scored once, at the end")
    examples: str | None = Field(None, description="rows that go with the checkpoint, as examples.jsonl")
    tokenizer: Path | None = Field(None, description="a tokenizer.json, where the data is text")
    attribution: str = Field(description="who made the data, and its licence: for the model card")


class Regularization(Closed):
    """What acts in training only."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    noise_prior: float | None = Field(
        None, ge=0, description="add random noise to the scores, its prior weighted so; null: none"
    )
    jitter: int | None = Field(
        None, ge=1, description="move ids, where they are intensities, at random by up to so much; null: none"
    )


class TrainingRecipe(Closed):
    """Everything that makes a checkpoint."""

    name: str
    description: str
    data: Data
    model: Model
    training: Settings
    regularization: Regularization = Regularization()
    seed: int = Field(0, ge=0)
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="of the saved weights")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingRecipe":
        config, extra = self.model, self.regularization
        if extra.jitter is not None and config.is_language_model:
            raise ValueError("regularization.jitter is for ids that are intensities, not for language")
        if extra.label_smoothing and config.num_labels == 1:
            raise ValueError("regularization.label_smoothing must be 0 for regression")
        if extra.noise_prior is not None and config.noise.kind == "none":
            raise ValueError("regularization.noise_prior belongs to a model with noise")
        return self


def load_training_recipe(name: str) -> TrainingRecipe:
    """A bundled training recipe by name, or a YAML file.

    Raises:
        BadInput: there is no such recipe, or it is wrong: all errors, each with its line.
    """
    return load(resolve("recipes/training", name), TrainingRecipe)
