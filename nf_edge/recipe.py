"""Recipes: what to do to a checkpoint, as data.

`recipes/*.yaml` are the bundled ones; a user's own file works the same way.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nf_edge.resources import names, resolve
from nf_edge.yaml_file import Closed, load

# How far an fp32 artifact may be from PyTorch, as a share of the largest logit.
FP32_TOLERANCE = 1e-4


class Quantize(Closed):
    """How the linear layers are quantized; embeddings, norms and the noise stay float32."""

    weights: Literal["int8"] = Field(description="dtype of the weights")
    granularity: Literal["per_channel"] = Field(description="one scale for each output channel")
    activations: Literal["int8_dynamic"] = Field(description="int8, with a range found at run time")


class Shapes(Closed):
    """Bounds of `input_ids` and `attention_mask` [batch, length].

    A language model with a cache takes one row, of 1 to as many tokens as its cache has positions.
    """

    batch: Literal[1, "dynamic"] = Field(
        1, description="rows: one, as a device sees them, or any number (with a cache: always one)"
    )
    length: Annotated[int, Field(ge=1)] | Literal["dynamic"] = Field(
        "dynamic",
        description="tokens: a fixed number, or 1 to n_positions (with a cache: positions of the cache)",
    )


class Limits(Closed):
    """What the artifact may lose; beyond it, export stops with exit code 5."""

    max_logit_error: float | None = Field(
        None,
        gt=0,
        description="largest difference of a logit from PyTorch's, as a share of the largest logit",
    )
    max_drop: float | None = Field(
        None, ge=0, le=1, description="accuracy that may be lost on the data of --data, as a share"
    )


class Recipe(Closed):
    """Everything that turns a checkpoint into an artifact, but for the device."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    runtime: Literal["executorch", "onnxruntime"]
    backend: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    quantize: Quantize | None = None
    shapes: Shapes = Shapes()
    logits: Literal["last", "all"] = Field(
        "last",
        description="of a language model: the last token's, with a cache, or those of all tokens, without",
    )
    limits: Limits = Limits()

    @field_validator("name")
    @classmethod
    def _that_of_its_file(cls, name: str, info: ValidationInfo) -> str:
        if info.context and name != info.context["path"].stem:
            raise ValueError(f"must be the file's name, {info.context['path'].stem!r}")
        return name

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        error = self.limits.max_logit_error
        if self.quantize is None and error is not None and error > FP32_TOLERANCE:
            raise ValueError(
                f"limits.max_logit_error is {error:g}, but fp32 recipes may only tighten {FP32_TOLERANCE:g}; "
                "lower it, leave it out, or quantize"
            )
        return self

    @property
    def max_logit_error(self) -> float | None:
        """The limit in force: an fp32 recipe always has one."""
        if self.limits.max_logit_error is None and self.quantize is None:
            return FP32_TOLERANCE
        return self.limits.max_logit_error

    @property
    def needs_own_kernels(self) -> bool:
        """Stock recipes run on unmodified runtimes; those named `nf-` need our kernels."""
        return self.name.startswith("nf-")


def load_recipe(name: str) -> Recipe:
    """A bundled recipe by name, or a YAML file.

    Raises:
        BadInput: there is no such recipe, or it is wrong (all errors, each with its line).
    """
    return load(resolve("recipes", name), Recipe)


def bundled_recipes() -> list[Recipe]:
    return [load_recipe(name) for name in names("recipes")]


def recipe_file(name: str) -> Path:
    """The file of a recipe, for showing it."""
    return resolve("recipes", name)
