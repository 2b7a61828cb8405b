"""Recipes: what to do to a checkpoint, as data.

`recipes/*.yaml` are the bundled ones; a user's own file works the same way.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nf_edge.resources import names, resolve
from nf_edge.shrinking import Prune, Recover
from nf_edge.yaml_file import Closed, load

# How far an fp32 artifact may be from PyTorch, as a share of the largest logit.
FP32_TOLERANCE = 1e-4


# Inputs of an output channel that share a scale, where weights are quantized by groups.
GROUP_SIZE = 32


class Quantize(Closed):
    """How the linear layers and the embeddings are quantized; norms and the noise stay float32.

    A layer whose inputs the group size does not divide gets int8, per channel, and so does a table.
    """

    weights: Literal["int8", "int4"] = Field(description="dtype of the weights of linear layers")
    granularity: Literal["per_channel", "group_32"] = Field(
        description="one scale for each output channel, or for each 32 inputs of one"
    )
    activations: Literal["none", "int8_dynamic", "int8_static"] = Field(
        description="float32, int8 with a range found at run time, or int8 with a calibrated range"
    )
    embeddings: Literal["float32", "int8", "int4"] = Field(
        description="dtype of the token table; positions are at least int8"
    )
    method: Literal["nearest", "gptq"] = Field(
        "nearest",
        description="how int4 weights are rounded: each to the nearest, or by GPTQ, which calibrates, so "
        "that what one loses the others make up for",
    )
    equalize: bool = Field(
        False,
        description="whether channels of activations are first made alike, exactly, by calibrated factors "
        "that a norm and the layer after it share",
    )
    rotate: bool = Field(
        False,
        description="whether keys and values are first rotated within each head, exactly, so that no channel "
        "sticks out; the noise is rotated along",
    )
    kv_cache: Literal["float32", "int8"] = Field(
        "float32",
        description="dtype of a language model's keys and values; of int8, a channel has a calibrated scale "
        "in ONNX Runtime, and a token its own with the kernels of nf-edge",
    )

    attention: Literal["float32", "int8"] = Field(
        "float32",
        description="what attention multiplies; int8, with a scale a token, takes the kernels of nf-edge",
    )

    def linear_dtype(self, inputs: int) -> Literal["int8", "int4"]:
        """What the weights of a layer of so many inputs get."""
        return "int4" if self.weights == "int4" and inputs % GROUP_SIZE == 0 else "int8"

    def table_dtype(self, width: int) -> Literal["float32", "int8", "int4"]:
        """What a token table of so many columns gets."""
        return "int8" if self.embeddings == "int4" and width % GROUP_SIZE else self.embeddings

    def position_dtype(self) -> Literal["float32", "int8"]:
        """What the position table gets: it has few rows, each of which is added to every text."""
        return "float32" if self.embeddings == "float32" else "int8"

    @field_validator("granularity")
    @classmethod
    def _suits_weights(cls, granularity: str, info: ValidationInfo) -> str:
        wanted = {"int8": "per_channel", "int4": "group_32"}.get(info.data.get("weights", ""), granularity)
        if granularity != wanted:
            raise ValueError(f"{info.data['weights']} weights are quantized {wanted}; write that")
        return granularity

    @field_validator("activations")
    @classmethod
    def _have_kernels(cls, activations: str, info: ValidationInfo) -> str:
        weights = info.data.get("weights")
        if (weights, activations) == ("int4", "int8_static"):
            raise ValueError("no runtime multiplies int4 weights with int8_static; write int8_dynamic")
        if (weights, activations) == ("int8", "none"):
            raise ValueError("no runtime multiplies int8 weights with float32; write int8_dynamic")
        return activations

    @field_validator("method")
    @classmethod
    def _has_int4_to_round(cls, method: str, info: ValidationInfo) -> str:
        if (info.data.get("weights"), method) == ("int8", "gptq"):
            raise ValueError("gptq is for int4, and int8 loses next to nothing to rounding; write nearest")
        return method

    @field_validator("embeddings")
    @classmethod
    def _not_finer_than_weights(cls, embeddings: str, info: ValidationInfo) -> str:
        if (info.data.get("weights"), embeddings) == ("int8", "int4"):
            raise ValueError("a tied head has the table's dtype, and these weights are int8; write int8")
        return embeddings


class Shapes(Closed):
    """Bounds of `input_ids` and `attention_mask` [batch, length].

    A language model with a cache takes one row, of 1 to as many tokens as its cache has positions.
    """

    batch: Literal[1, "dynamic"] = Field(
        1, description="rows: one, as a device sees them, or any number (with a cache: always one)"
    )
    length: Annotated[int, Field(ge=1)] | Literal["dynamic", "full"] = Field(
        "dynamic",
        description="tokens: a fixed number (full: n_positions), or 1 to n_positions (with a cache: "
        "positions of the cache)",
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
    target: str | None = Field(
        None, description="the accelerator that it is compiled for, where the backend knows several"
    )
    prune: Prune | None = None
    recover: Recover | None = None
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
        if self.recover is not None and self.recover.qat:
            if self.quantize is None:
                raise ValueError("recover.qat rounds as quantize says, and there is no quantize; add it")
            if self.quantize.activations == "int8_static":
                raise ValueError(
                    "recover.qat knows no int8_static activations; write int8_dynamic, or leave it out"
                )
        error = self.limits.max_logit_error
        if self.quantize is None and error is not None and error > FP32_TOLERANCE:
            raise ValueError(
                f"limits.max_logit_error is {error:g}, but fp32 recipes may only tighten {FP32_TOLERANCE:g}; "
                "lower it, leave it out, or quantize"
            )
        return self

    @field_validator("logits")
    @classmethod
    def _cached_where_the_cache_is_quantized(cls, logits: str, info: ValidationInfo) -> str:
        quantize = info.data.get("quantize")
        if logits == "all" and quantize is not None and quantize.kv_cache == "int8":
            raise ValueError(
                "without a cache there is nothing for quantize.kv_cache; write last, or leave kv_cache out"
            )
        return logits

    @property
    def max_logit_error(self) -> float | None:
        """The limit in force: an fp32 recipe always has one."""
        if self.limits.max_logit_error is None and self.quantize is None:
            return FP32_TOLERANCE
        return self.limits.max_logit_error

    @property
    def calibrates(self) -> bool:
        """Whether data has to be seen: by GPTQ, to equalize, or before ranges are fixed, of activations or of
        keys and values, where the model has a cache that can be int8.  Only ONNX Runtime wants those."""
        return self.quantize is not None and (
            self.quantize.activations == "int8_static"
            or self.quantize.method == "gptq"
            or self.quantize.equalize
            or (self.quantize.kv_cache == "int8" and self.runtime == "onnxruntime")
        )

    @property
    def shrinks(self) -> bool:
        """Whether it makes the checkpoint itself smaller, or trains it, for which it wants training data."""
        return self.prune is not None or self.recover is not None

    @property
    def is_stock(self) -> bool:
        """Stock recipes run on unmodified runtimes; those named `nf-` need our kernels."""
        return not self.name.startswith("nf-")


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
