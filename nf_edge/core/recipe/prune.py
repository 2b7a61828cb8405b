"""The sections of a recipe that make the checkpoint itself smaller, `prune` and `recover`, and the mark that
they leave on a checkpoint."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from nf_edge.core.device import parse_size
from nf_edge.core.identity import UNKNOWN, Identity
from nf_edge.core.yaml_schema import Closed

# Any rate that is too high is told by what it does to the loss; PyTorch's Adam stops at those beyond float32.
HIGHEST_RATE = 1e30
# Its square is multiplied with; and beyond it all answers are alike.
HIGHEST_TEMPERATURE = 1000.0


class Weights(Closed):
    """Zeros among the weights of linear layers.  They save nothing but a compressed download: no runtime here
    skips them."""

    method: Literal["magnitude", "wanda"] = Field(
        "wanda", description="what says that a weight matters little: its size, or its size times its input's"
    )
    sparsity: float | None = Field(None, gt=0, lt=1, description="share of each layer's weights that is zero")
    pattern: str | None = Field(
        None, pattern=r"^[1-9]:[2-9]$", description="N:M: of each M neighbours in a row N stay, 2:4 for one"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Weights":
        if (self.sparsity is None) == (self.pattern is None):
            raise ValueError("write either sparsity or pattern")
        if self.pattern is not None and self.pattern[0] >= self.pattern[2]:
            raise ValueError(f"pattern {self.pattern} leaves everything; N must be less than M")
        return self


class Prune(Closed):
    """What goes: tokens, then layers, then heads and inner units, then weights, the least important first.

    A layer keeps one head and one group of inner units at least.  Where the inner units of a layer are a
    multiple of 32, they go in groups of 32, so that int4 groups and vector units still divide what stays.
    """

    vocabulary: int | None = Field(
        None, ge=1, description="tokens that the training data has fewer times than this go; null: none do"
    )
    layers: int = Field(0, ge=0, description="whole layers that go: those whose absence costs least")
    heads: float = Field(0.0, ge=0, lt=1, description="share of all attention heads that goes")
    inner: float = Field(0.0, ge=0, lt=1, description="share of all inner units of MLPs that goes")
    target_params: int | None = Field(
        None,
        ge=1,
        description="instead of shares: heads and inner units go, least importance a parameter first, until "
        "there are at most so many parameters",
    )
    target_memory: str | None = Field(
        None,
        description="the same until the memory predicted of the process that runs the artifact is at most "
        "this size, such as 64 MB",
    )

    weights: Weights | None = Field(None, description="zeros among the weights of what is left")

    @field_validator("target_memory")
    @classmethod
    def _size(cls, text: str | None) -> str | None:
        if text is not None:
            parse_size(text)
        return text

    @property
    def cuts(self) -> bool:
        """Whether heads or inner units go."""
        return bool(self.heads or self.inner or self.target_params or self.target_memory)

    @model_validator(mode="after")
    def _consistent(self) -> "Prune":
        ways = [self.target_params, self.target_memory, self.heads or self.inner or None]
        if sum(way is not None for way in ways) > 1:
            raise ValueError(
                "target_params, target_memory, and heads with inner exclude each other; keep one"
            )
        if self == Prune.model_construct():
            raise ValueError(
                "says of nothing that it goes; give vocabulary, layers, heads, inner, a target or weights"
            )
        return self


class Recover(Closed):
    """Training after pruning: the smaller model learns what the whole one says (Hinton et al., 2015)."""

    steps: int = Field(ge=1, description="optimizer steps; with 1 % of them, at most 100, to warm up")
    batch_size: int = Field(32, ge=1, description="rows, or blocks of text, a step")
    validate_every: int = Field(
        200, ge=1, description="steps between validations; also what an interruption loses"
    )
    learning_rate: float = Field(1e-3, gt=0, le=HIGHEST_RATE, description="the highest, of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="on matrices only")
    temperature: float = Field(
        2.0, gt=0, le=HIGHEST_TEMPERATURE, description="divides the logits of both models"
    )
    hidden: float = Field(
        1.0,
        ge=0,
        description="weight of the difference of the last hidden states, as a share of their variance",
    )
    qat: bool = Field(
        False, description="train with weights, tables and activations rounded as the quantize section will"
    )
    labels: float = Field(0.0, ge=0, description="weight of the loss against the labels or the next tokens")


CompressionSchema = Literal["nf-edge/compression/1", "nf-edge/compression/2"]
COMPRESSION_SCHEMAS: tuple[CompressionSchema, ...] = get_args(CompressionSchema)


class Compression(Closed):
    """`compression.json` of a checkpoint that was made of another by a recipe's sections.

    Schema 1, which earlier versions wrote, does not say what is unknown here.
    """

    schema_: CompressionSchema = Field("nf-edge/compression/2", alias="schema")
    recipe: str
    prune: Prune | None
    recover: Recover | None
    original: str = Field(description="name of the checkpoint that it was made of")
    original_sha256: str = Field(description="of that one's model.safetensors")
    original_config: dict[str, Any] | Literal["unknown"] = Field(
        UNKNOWN, description="what that one's config.json holds"
    )
    original_tokenizer_sha256: str | None = Field(
        UNKNOWN, description="of that one's tokenizer.json; null: it has none"
    )
    rounded_as: dict[str, Any] | Literal["unknown"] | None = Field(
        UNKNOWN,
        description="the recipe's quantize section where recovery trained what rounds; null: it did not",
    )
    result: Identity | Literal["unknown"] = Field(
        UNKNOWN, description="the checkpoint that came out, which the scores of the report are of"
    )
    report: dict[str, Any] = Field(description="sizes before and after, scores, and how far answers moved")

    @property
    def made_of(self) -> Identity:
        """The original, as far as it is known."""
        return Identity(
            weights_sha256=self.original_sha256,
            config=self.original_config,
            tokenizer_sha256=self.original_tokenizer_sha256,
        )
