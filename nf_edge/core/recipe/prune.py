"""The recipe sections `prune` and `recover`, and the record that they leave in a checkpoint."""

from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from nf_edge.core.device import parse_size
from nf_edge.core.identity import UNKNOWN, Identity
from nf_edge.core.yaml_schema import Closed

# PyTorch's Adam fails at learning rates beyond float32.  Lower rates that are too high show in the loss.
HIGHEST_RATE = 1e30
# The loss is multiplied by the square of the temperature.  At higher temperatures, all predictions are equal.
HIGHEST_TEMPERATURE = 1000.0


class Weights(Closed):
    """Which weights of linear layers to set to zero.

    No supported runtime skips zeros.  They only make a compressed download smaller.
    """

    method: Literal["magnitude", "wanda"] = Field(
        "wanda", description="how to rate a weight: by its size, or by its size times the size of its input"
    )
    sparsity: float | None = Field(None, gt=0, lt=1, description="share of each layer's weights that is zero")
    pattern: str | None = Field(
        None, pattern=r"^[1-9]:[2-9]$", description="N:M: N of each M neighbours in a row stay, such as 2:4"
    )

    @model_validator(mode="after")
    def _consistent(self) -> "Weights":
        if (self.sparsity is None) == (self.pattern is None):
            raise ValueError("must set exactly one of sparsity and pattern")
        if self.pattern is not None and self.pattern[0] >= self.pattern[2]:
            raise ValueError(f"pattern {self.pattern} removes nothing; in N:M, N must be less than M")
        return self


class Prune(Closed):
    """The parts to remove; of each kind, the least important ones.

    The order is: tokens, layers, heads and inner units of MLPs, single weights.  A layer keeps at least one
    head and one group of inner units.  A group is 32 inner units if their number is a multiple of 32.  Then
    int4 groups and vector instructions need no padding after pruning.
    """

    vocabulary: int | None = Field(
        None,
        ge=1,
        description="remove tokens that occur fewer times in the training data; null: remove none",
    )
    layers: int = Field(0, ge=0, description="number of layers to remove, the least important first")
    heads: float = Field(0.0, ge=0, lt=1, description="share of all attention heads to remove")
    inner: float = Field(0.0, ge=0, lt=1, description="share of all inner units of MLPs to remove")
    target_params: int | None = Field(
        None,
        ge=1,
        description="instead of shares: remove heads and inner units, least important per parameter first, "
        "until at most this many parameters are left",
    )
    target_memory: str | None = Field(
        None,
        description="as target_params, but until the predicted memory of a process that runs the artifact is "
        "at most this size, for example 64 MB",
    )

    weights: Weights | None = Field(None, description="zeros among the remaining weights")

    @field_validator("target_memory")
    @classmethod
    def _size(cls, text: str | None) -> str | None:
        if text is not None:
            parse_size(text)
        return text

    @property
    def cuts(self) -> bool:
        """Whether this section removes heads or inner units."""
        return bool(self.heads or self.inner or self.target_params or self.target_memory)

    @model_validator(mode="after")
    def _consistent(self) -> "Prune":
        ways = [self.target_params, self.target_memory, self.heads or self.inner or None]
        if sum(way is not None for way in ways) > 1:
            raise ValueError(
                "sets more than one of: target_params; target_memory; heads or inner. Keep one of the three"
            )
        if self == Prune.model_construct():
            raise ValueError(
                "removes nothing; set vocabulary, layers, heads, inner, target_params, target_memory or "
                "weights"
            )
        return self


class Recover(Closed):
    """Training after pruning: the smaller model learns the original's predictions (Hinton et al., 2015)."""

    steps: int = Field(ge=1, description="optimizer steps; 1 % of them, at most 100, are warm-up")
    batch_size: int = Field(32, ge=1, description="rows, or blocks of text, per step")
    validate_every: int = Field(
        200, ge=1, description="steps between validations; an interruption loses at most this many steps"
    )
    learning_rate: float = Field(1e-3, gt=0, le=HIGHEST_RATE, description="highest learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0, description="weight decay of AdamW, for matrices only")
    temperature: float = Field(
        2.0, gt=0, le=HIGHEST_TEMPERATURE, description="divides the logits of both models"
    )
    hidden: float = Field(
        1.0,
        ge=0,
        description="weight in the loss of the mean squared error of the last hidden states, divided by "
        "their variance",
    )
    qat: bool = Field(
        False,
        description="train with weights, tables and activations rounded as section quantize says",
    )
    labels: float = Field(
        0.0, ge=0, description="weight in the loss of the cross entropy with the labels or the next tokens"
    )


CompressionSchema = Literal["nf-edge/compression/1", "nf-edge/compression/2"]
COMPRESSION_SCHEMAS: tuple[CompressionSchema, ...] = get_args(CompressionSchema)


class Compression(Closed):
    """The content of `compression.json`: how `compress` made a checkpoint from another one.

    Files of schema 1, from earlier versions, lack some fields.  These fields then have the value "unknown".
    """

    schema_: CompressionSchema = Field("nf-edge/compression/2", alias="schema")
    recipe: str
    prune: Prune | None
    recover: Recover | None
    original: str = Field(description="name of the original checkpoint")
    original_sha256: str = Field(description="SHA-256 of the original's model.safetensors")
    original_config: dict[str, Any] | Literal["unknown"] = Field(
        UNKNOWN, description="content of the original's config.json"
    )
    original_tokenizer_sha256: str | None = Field(
        UNKNOWN, description="SHA-256 of the original's tokenizer.json; null: the original has no tokenizer"
    )
    rounded_as: dict[str, Any] | Literal["unknown"] | None = Field(
        UNKNOWN,
        description="section quantize of the recipe, if recovery trained with rounding (qat); null: without",
    )
    result: Identity | Literal["unknown"] = Field(
        UNKNOWN, description="identity of the resulting checkpoint; the report has its scores"
    )
    report: dict[str, Any] = Field(
        description="sizes before and after, scores, and divergence of the answers"
    )

    @property
    def made_of(self) -> Identity:
        """The hashes and the config that identify the original checkpoint; "unknown" if not recorded."""
        return Identity(
            weights_sha256=self.original_sha256,
            config=self.original_config,
            tokenizer_sha256=self.original_tokenizer_sha256,
        )
