"""Training recipes: what to train on what, as data.

`recipes/training/*.yaml` are the bundled ones; a user's own file works the same way.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from nf_edge.core.recipe.prune import HIGHEST_TEMPERATURE
from nf_edge.core.resources import resolve
from nf_edge.core.yaml_schema import Closed, load
from nf_edge.model.config import ModelConfig, NoiseConfig
from nf_edge.model.data.sources import NAMED
from nf_edge.training.bpe import SMALLEST_VOCABULARY
from nf_edge.training.convolutions import Convolutions
from nf_edge.training.ngrams import Ngrams
from nf_edge.training.settings import Settings


class Noise(NoiseConfig, extra="forbid"):
    """`noise` of config.json, refusing unknown keys."""


class Model(ModelConfig, extra="forbid"):
    """What config.json will hold, refusing unknown keys."""

    noise: Noise = Noise()


class Source(Closed):
    """Where rows or text come from: what `nf_edge.model.data.load_rows` takes, a `.txt` file, or a part.

    A text is cut at shares of its characters; rows fall into shares by a hash of their content, so that
    those which repeat a text are all in one part.
    """

    file: str = Field(description="a named data set, or a path in the folder of data")
    part: tuple[float, float] = Field((0, 1), description="from where to where, as shares of the whole")
    min_words: int = Field(0, ge=0, description="leave out rows of fewer words")

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if not 0 <= self.part[0] < self.part[1] <= 1:
            raise ValueError("part must go from a share to a larger one, both from 0 to 1")
        return self

    def __str__(self) -> str:
        text = self.file
        if self.part != (0, 1):
            text += f", {self.part[0]:.4g} to {self.part[1]:.4g} of it"
        return text + (f", rows of {self.min_words} words or more" if self.min_words else "")


def _source(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _beside(path: Path, info: ValidationInfo) -> Path:
    """What travels with a recipe is looked for beside it."""
    return info.context["path"].parent / path if info.context else path


def _beside_unless_named(source: str, info: ValidationInfo) -> str:
    return source if source in NAMED else str(_beside(Path(source), info))


AnySource = Annotated[Source, BeforeValidator(_source)]


class Bpe(Closed):
    """A byte-level BPE of the model's vocab_size, learned from the training data; `<|endoftext|>` is 0."""

    lowercase: bool = Field(False, description="fold upper case into lower, of the letters in Latin-1")
    treebank: bool = Field(
        False, description="undo the Penn Treebank's spaces, as in `it 's fine .`, and those around a text"
    )


class Data(Closed):
    """What a model is trained, validated and tested on."""

    train: AnySource
    valid: AnySource = Field(description="chooses the best checkpoint")
    test: AnySource = Field(description="held out: scored once, at the end")
    apart: int | None = Field(
        None, ge=1, description="leave out of train the rows that share so many words in a row with valid"
    )
    refit: bool = Field(
        False,
        description="learn from all of the training file, the rows of valid and those like them too: for the "
        "last training, when there is nothing left to choose by them",
    )
    examples: Annotated[str, AfterValidator(_beside_unless_named)] | None = Field(
        None, description="rows that go with the checkpoint, as examples.jsonl: a file beside the recipe"
    )
    tokenizer: Bpe | Annotated[Path, AfterValidator(_beside)] | None = Field(
        None, description="where the data is text: how to learn one, or a tokenizer.json beside the recipe"
    )
    origin: str | None = Field(None, description="where to get the files, for whoever has not got them")
    attribution: str = Field(description="who made the data, and its licence: for the model card")


class Regularization(Closed):
    """What acts in training only."""

    label_smoothing: float = Field(0.0, ge=0, lt=1)
    noise_prior: float | None = Field(
        None, ge=0, description="add random noise to the scores, its prior weighted so; null: none"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the values on the residual stream")
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of a row's tokens that the padding token replaces"
    )
    jitter: int | None = Field(
        None, ge=1, description="move ids, where they are intensities, at random by up to so much; null: none"
    )


AnyTeacher = Annotated[Ngrams | Convolutions, Field(discriminator="kind")]


class Distillation(Closed):
    """Teachers learn the labels first; the model learns what they say, on average.

    What `regularization` says is of the model; teachers have keys of their own.
    """

    teachers: tuple[AnyTeacher, ...] = Field(
        min_length=1, description="of each its `kind`, with the keys of that kind and of every teacher"
    )
    temperature: float = Field(
        1.0, gt=0, le=HIGHEST_TEMPERATURE, description="divides all logits that are compared"
    )
    swap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of the rows in which a phrase, a row itself, is replaced by another",
    )
    join: int = Field(
        1, ge=1, description="rows of a batch are joined, one to so many, one after another: longer texts"
    )
    replace: float = Field(
        0.0, ge=0, le=1, description="share of the tokens that any other of the vocabulary replaces"
    )


class TrainingRecipe(Closed):
    """Everything that makes a checkpoint."""

    name: str
    description: str
    data: Data
    model: Model
    training: Settings
    regularization: Regularization = Regularization()
    distill: Distillation | None = Field(None, description="null: the model learns the labels itself")
    seed: int = Field(0, ge=0, le=2**63 - 1)
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="of the saved weights")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingRecipe":
        config, extra = self.model, self.regularization
        if extra.jitter is not None and config.is_language_model:
            raise ValueError("regularization.jitter is for ids that are intensities, not for language")
        if config.is_language_model and self.data.apart is not None:
            raise ValueError("data.apart is for rows; parts of a text share nothing")
        if self.data.refit:
            trainings = [
                self.training,
                *(t.training for t in (self.distill.teachers if self.distill else ())),
            ]
            if any(each.validate_every < each.steps for each in trainings):
                raise ValueError(
                    "data.refit leaves nothing to choose a step by: write validate_every as steps"
                )
        if not config.is_language_model and not config.has_label:
            raise ValueError(f"a {config.kind} cannot be trained: data has one label a row")
        if extra.token_dropout and (config.is_language_model or config.pad_token_id is None):
            raise ValueError("regularization.token_dropout is for classifiers with a pad_token_id")
        if isinstance(self.data.tokenizer, Bpe):
            if config.vocab_size < SMALLEST_VOCABULARY:
                raise ValueError(f"a byte-level BPE needs model.vocab_size {SMALLEST_VOCABULARY} or more")
            if {token for tokens in config.special_tokens.values() for token in tokens} - {0}:
                raise ValueError("the special tokens of a BPE that is learned have one id, 0")
        if extra.label_smoothing and config.task == "regression":
            raise ValueError("regularization.label_smoothing must be 0 for regression")
        if extra.noise_prior is not None and config.noise.kind == "none":
            raise ValueError("regularization.noise_prior belongs to a model with noise")
        if self.distill is not None:
            if config.task != "classification":
                raise ValueError("distill is for classifiers")
            if extra.label_smoothing:
                raise ValueError("regularization.label_smoothing is for labels, which distill does not use")
            if self.data.tokenizer is None and any(t.vectors_file for t in self.distill.teachers):
                raise ValueError("vectors of a teacher are for data that is text, with a tokenizer")
            if config.pad_token_id is None and any(t.token_dropout for t in self.distill.teachers):
                raise ValueError("token_dropout of a teacher is for models with a pad_token_id")
        return self


def load_training_recipe(name: str, seed: int | None = None) -> TrainingRecipe:
    """A bundled training recipe by name, or a YAML file.

    Args:
        seed: replaces the recipe's seed; None: the recipe's is kept.

    Raises:
        BadInput: there is no such recipe, or it is wrong: all errors, each with its line.
    """
    recipe = load(resolve("recipes/training", name), TrainingRecipe)
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})
