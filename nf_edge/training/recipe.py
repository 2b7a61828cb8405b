"""Training recipes: YAML files that define a model, its data and its training.

`recipes/training/*.yaml` are bundled; a user's file works the same way.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from nf_edge.core.errors import BadInput
from nf_edge.core.recipe.prune import HIGHEST_TEMPERATURE
from nf_edge.core.resources import resolve
from nf_edge.core.yaml_schema import Closed, load
from nf_edge.model.config import ModelConfig, NoiseConfig
from nf_edge.model.data.row_format import RowFormat
from nf_edge.model.data.sources import NAMED
from nf_edge.training.bpe import SMALLEST_VOCABULARY
from nf_edge.training.convolutions import Convolutions
from nf_edge.training.ngrams import Ngrams
from nf_edge.training.settings import Settings


class Noise(NoiseConfig, extra="forbid"):
    """The `noise` of a recipe's model, as in config.json; unknown keys are errors."""


class Model(ModelConfig, extra="forbid"):
    """The `model` of a recipe: the content of config.json; unknown keys are errors."""

    noise: Noise = Noise()


def _columns(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _label_names(value: Any) -> Any:
    # YAML reads 0 and 1 as numbers.
    return {str(label): str(name) for label, name in value.items()} if isinstance(value, dict) else value


class Source(Closed):
    """A source of rows or text: all or a part of a data set, a table (TSV, CSV, JSONL) or a `.txt` file.

    A part of a text is given by shares of its characters.  For rows, a hash of the content selects the part,
    so rows with the same text are in the same part.  In the folder of a GLUE task, `train` is the training
    file, and `valid` and `test` are the development file.
    """

    file: str = Field(description="name of a data set, or a path in the data folder")
    part: tuple[float, float] = Field((0, 1), description="start and end of the part, as shares from 0 to 1")
    min_words: int = Field(0, ge=0, description="leave out rows with fewer words")
    task: str | None = Field(None, description="a GLUE task, as `--task`")
    text: Annotated[tuple[str, ...], BeforeValidator(_columns)] = Field(
        (), description="column of the text, or both columns of text pairs; default: the usual names"
    )
    label: str | None = Field(None, description="column of the labels; default: the task's, or `label`")
    labels: Annotated[dict[str, str], BeforeValidator(_label_names)] = Field(
        {}, description="class of the model for each label in the file, where the names differ"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Source":
        if not 0 <= self.part[0] < self.part[1] <= 1:
            raise ValueError("`part` must be two increasing shares from 0 to 1, such as [0, 0.9]")
        try:
            _ = self.row_format
        except BadInput as error:
            raise ValueError(f"{error.what}; {error.fix}" if error.fix else error.what) from error
        return self

    @property
    def row_format(self) -> RowFormat:
        """The task, columns and labels by which the rows are read."""
        return RowFormat(self.task, self.text, self.label, self.labels)

    def __str__(self) -> str:
        text = f"{self.file}, task {self.task}" if self.task else self.file
        if self.part != (0, 1):
            text += f", part {self.part[0]:.4g} to {self.part[1]:.4g}"
        return text + (f", rows of {self.min_words} words or more" if self.min_words else "")


def _source(value: Any) -> Any:
    return {"file": value} if isinstance(value, str) else value


def _relative_to_recipe(path: Path, info: ValidationInfo) -> Path:
    """A path in a recipe, resolved against the recipe's folder."""
    return info.context["path"].parent / path if info.context else path


def _data_set_or_relative(source: str, info: ValidationInfo) -> str:
    return source if source in NAMED else str(_relative_to_recipe(Path(source), info))


AnySource = Annotated[Source, BeforeValidator(_source)]


class Bpe(Closed):
    """A byte-level BPE with vocab_size tokens, learned from the training data; `<|endoftext|>` has id 0."""

    lowercase: bool = Field(False, description="turn upper-case letters of Latin-1 into lower case")
    treebank: bool = Field(
        False, description="remove the Penn Treebank's spaces, as in `it 's fine .`, and those around a text"
    )


class Data(Closed):
    """The training, validation and test data of a model."""

    train: AnySource = Field(description="the training data")
    valid: AnySource = Field(description="the validation data, which chooses the best step")
    test: AnySource = Field(description="held-out data, scored once at the end")
    apart: int | None = Field(
        None, ge=1, description="leave out training rows that share a run of this many words with valid"
    )
    refit: bool = Field(
        False,
        description="train on the complete training file, including the rows of valid: for the final "
        "training, after all choices are made",
    )
    examples: Annotated[str, AfterValidator(_data_set_or_relative)] | None = Field(
        None,
        description="rows to save with the checkpoint as examples.jsonl: a file in the recipe's folder",
    )
    tokenizer: Bpe | Annotated[Path, AfterValidator(_relative_to_recipe)] | None = Field(
        None, description="for text: how to train a tokenizer, or a tokenizer.json in the recipe's folder"
    )
    origin: str | None = Field(None, description="where to get the files; shown if they are missing")
    attribution: str = Field(description="the author and the licence of the data, for the model card")


class Regularization(Closed):
    """Settings that apply only during training."""

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share of probability spread over all labels")
    noise_prior: float | None = Field(
        None, ge=0, description="add random noise to the scores, with this weight of its prior; null: none"
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="share of values on the residual stream that are dropped"
    )
    token_dropout: float = Field(
        0.0, ge=0, lt=1, description="share of a row's tokens that the padding token replaces"
    )
    jitter: int | None = Field(
        None,
        ge=1,
        description="for ids that are intensities: change each at random by up to this much; null: none",
    )


AnyTeacher = Annotated[Ngrams | Convolutions, Field(discriminator="kind")]


class Distillation(Closed):
    """Teachers learn the labels first; the model then learns their mean probabilities.

    `regularization` applies to the model only; teachers have their own keys.
    """

    teachers: tuple[AnyTeacher, ...] = Field(
        min_length=1, description="each has a `kind`, the keys of that kind, and the keys of every teacher"
    )
    temperature: float = Field(
        1.0, gt=0, le=HIGHEST_TEMPERATURE, description="divides the logits of model and teachers in the loss"
    )
    swap: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of rows in which a phrase is replaced by another; a phrase is itself a row",
    )
    join: int = Field(
        1, ge=1, description="join up to this many rows of a batch to make longer texts; 1: none"
    )
    replace: float = Field(0.0, ge=0, le=1, description="share of tokens that are replaced by random tokens")


class TrainingRecipe(Closed):
    """Everything that determines a trained checkpoint."""

    name: str
    description: str
    data: Data
    model: Model
    training: Settings
    regularization: Regularization = Regularization()
    distill: Distillation | None = Field(None, description="null: the model learns directly from the labels")
    seed: int = Field(0, ge=0, le=2**63 - 1)
    dtype: Literal["float32", "float16", "bfloat16"] = Field("float32", description="of the saved weights")

    @model_validator(mode="after")
    def _consistent(self) -> "TrainingRecipe":
        config, extra = self.model, self.regularization
        if extra.jitter is not None and config.is_language_model:
            raise ValueError(
                "regularization.jitter is for ids that are intensities, not for language models; remove it"
            )
        if config.is_language_model and self.data.apart is not None:
            raise ValueError("data.apart is only for rows, not for a language model's text; remove it")
        if self.data.refit:
            trainings = [
                self.training,
                *(t.training for t in (self.distill.teachers if self.distill else ())),
            ]
            if any(each.validate_every < each.steps for each in trainings):
                raise ValueError(
                    "data.refit trains on data.valid too, so no rows can choose the best step; "
                    "set validate_every equal to steps"
                )
        if not config.is_language_model and not config.has_label:
            raise ValueError(
                f"a {config.kind} cannot be trained; training needs a model with one label per row"
            )
        if extra.token_dropout and (config.is_language_model or config.pad_token_id is None):
            raise ValueError("regularization.token_dropout needs a classifier with a pad_token_id")
        if isinstance(self.data.tokenizer, Bpe):
            if config.vocab_size < SMALLEST_VOCABULARY:
                raise ValueError(f"a byte-level BPE needs model.vocab_size {SMALLEST_VOCABULARY} or more")
            if {token for tokens in config.special_tokens.values() for token in tokens} - {0}:
                raise ValueError(
                    "data.tokenizer trains a BPE whose only special token has id 0; set all "
                    "special token ids of the model to 0"
                )
        if extra.label_smoothing and config.task == "regression":
            raise ValueError("regularization.label_smoothing must be 0 for regression")
        if extra.noise_prior is not None and config.noise.kind == "none":
            raise ValueError("regularization.noise_prior needs a model with noise")
        if self.distill is not None:
            if config.task != "classification":
                raise ValueError("distill needs a classifier; remove it for other models")
            if extra.label_smoothing:
                raise ValueError(
                    "regularization.label_smoothing must be 0 with distill, because labels "
                    "train only the teachers"
                )
            if self.data.tokenizer is None and any(t.vectors_file for t in self.distill.teachers):
                raise ValueError("a teacher's vectors need text data; set data.tokenizer")
            if config.pad_token_id is None and any(t.token_dropout for t in self.distill.teachers):
                raise ValueError("a teacher's token_dropout needs a model with a pad_token_id")
        return self


def load_training_recipe(name: str, seed: int | None = None) -> TrainingRecipe:
    """A bundled training recipe by its name, or a YAML file by its path.

    Args:
        seed: replaces the recipe's seed; None: the recipe's is kept.

    Raises:
        BadInput: there is no such recipe, or it is invalid; the message lists all errors, each with its line.
    """
    recipe = load(resolve("recipes/training", name), TrainingRecipe)
    return recipe if seed is None else recipe.model_copy(update={"seed": seed})
