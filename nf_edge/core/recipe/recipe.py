"""Recipes: what to do to a checkpoint, as data.

`recipes/*.yaml` are the bundled ones; a user's own file works the same way.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from nf_edge.core.limits import drop_problem
from nf_edge.core.recipe.precision import (
    POSITIONS,
    STATIC,
    TOKENS,
    Activations,
    Precision,
    Runtime,
    bits_of,
    group_of,
)
from nf_edge.core.recipe.prune import Prune, Recover
from nf_edge.core.resources import names, resolve
from nf_edge.core.yaml_schema import Closed, load

# How far an fp32 artifact may be from PyTorch, as a share of the largest logit.
FP32_TOLERANCE = 1e-4

Width = Literal["int2", "int3", "int4", "int5", "int6", "int7", "int8"]
Dtype = Literal["float32", "int2", "int3", "int4", "int5", "int6", "int7", "int8"]
Granularity = Literal["per_channel", "group_16", "group_32", "group_64", "group_128"]
# Inputs that share a scale where nothing says how many.
GROUP_SIZE = 32


class Rule(Closed):
    """What some modules get instead of what the section says."""

    modules: str = Field(
        min_length=1,
        description="which: a pattern of names as the report has them; * is any text, ? one character",
    )
    weights: Dtype = Field(description="dtype of their weights")
    granularity: Granularity | None = Field(
        None,
        description="as of quantize; left out, it is that of quantize for weights of the same dtype, else a "
        "scale for each channel of int5 to int8 that is multiplied with int8, and groups of the rest",
    )
    symmetric: bool | None = Field(None, description="as of quantize; left out, it is that of quantize")
    activations: Activations | None = Field(
        None, description="as of quantize, of linear layers; left out, they are those of quantize"
    )


def _has_kernels(rule: Rule, info: ValidationInfo) -> Rule:
    """Of a rule within a section, the keys of which before `rules` are known."""
    if rule.weights == "float32":
        if rule.granularity or rule.activations or rule.symmetric is not None:
            raise ValueError("float32 has no scales, and its inputs are float32; write weights alone")
        return rule
    section = {"weights", "granularity", "symmetric", "activations"}
    if rule.modules not in (TOKENS, POSITIONS) and section <= set(info.data):
        # What is wrong of the section is told there.
        wanted = Quantize.model_construct(**info.data).layer(rule)
        if problem := kernel_problem(wanted):
            raise ValueError(problem)
    return rule


def kernel_problem(wanted: Precision) -> str:
    """Why no runtime has a linear layer of this, and the fix; "" where one has."""
    if wanted.activations == "int16_static" and (wanted.bits not in (4, 8) or wanted.group):
        return "what multiplies with int16_static are weights of int4 or int8, per_channel; write those"
    if wanted.activations == "int8_static" and wanted.bits != 8:
        return f"no runtime multiplies int{wanted.bits} weights with int8_static; write int8_dynamic"
    if wanted.activations == "int8_static" and wanted.group:
        return "no runtime multiplies weights in groups with int8_static; write int8_dynamic or per_channel"
    return ""


class Quantize(Closed):
    """How the linear layers and the embeddings are quantized; norms and the noise stay float32.

    A layer whose inputs the group size does not divide gets int8, per channel, and so does a table.
    """

    weights: Width = Field(description="dtype of the weights of linear layers")
    granularity: Granularity = Field(
        description="one scale for each output channel, or for each group of so many inputs of one"
    )
    symmetric: bool = Field(
        True,
        description="whether the levels of weights and of tables lie about 0; false: each scale has a zero "
        "point with it, so that they reach from the least weight to the largest",
    )
    activations: Activations = Field(
        description="float32, int8 with a range found at run time, or int8 or int16 with a calibrated range"
    )
    embeddings: Dtype = Field(description="dtype of the token table; positions are at least int8")
    rules: tuple[Annotated[Rule, AfterValidator(_has_kernels)], ...] = Field(
        (),
        description="other dtypes for some modules, the keys above being for the rest; the first rule wins",
    )
    method: Literal["nearest", "gptq", "awq"] = Field(
        "nearest",
        description="how weights of less than int8 are rounded: each to the nearest, by GPTQ so that what "
        "one loses the others make up for, or to the nearest once AWQ has scaled what matters most; those "
        "two calibrate",
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

    def rule_for(self, name: str) -> Rule | None:
        """The first rule whose pattern the name of a module has."""
        return next((rule for rule in self.rules if fnmatchcase(name, rule.modules)), None)

    def layer(self, rule: Rule | None) -> Precision:
        """What is asked for a linear layer of a rule, or of none."""
        dtype: str = self.weights
        activations = self.activations
        granularity: Granularity | None = self.granularity
        if rule is not None:
            dtype, granularity = rule.weights, rule.granularity
            activations = rule.activations or activations
        if dtype == "float32":
            return Precision()
        bits = bits_of(dtype)
        per_channel = activations == "int16_static" or (bits > 4 and activations != "none")
        group = self._group(dtype, granularity, per_channel)
        return Precision(bits, group, self._symmetric(rule), activations)

    def table(self, rule: Rule | None) -> Precision:
        """What is asked for a table of a rule, or of none."""
        dtype = self.embeddings if rule is None else rule.weights
        if dtype == "float32":
            return Precision()
        granularity = None if rule is None else rule.granularity
        bits = bits_of(dtype)
        return Precision(bits, self._group(dtype, granularity, per_channel=bits > 4), self._symmetric(rule))

    def _group(self, dtype: str, granularity: Granularity | None, per_channel: bool) -> int | None:
        """The group size of what may have no granularity of its own."""
        if granularity is None and dtype == self.weights:
            granularity = self.granularity
        if granularity is not None:
            return group_of(granularity)
        return None if per_channel else group_of(self.granularity) or GROUP_SIZE

    def _symmetric(self, rule: Rule | None) -> bool:
        return self.symmetric if rule is None or rule.symmetric is None else rule.symmetric

    @property
    def asked(self) -> list[tuple[str, Precision]]:
        """What is asked for linear layers, each with the place where."""
        rules = [
            (f"quantize.rules.{index}", self.layer(rule))
            for index, rule in enumerate(self.rules)
            if rule.modules not in (TOKENS, POSITIONS)
        ]
        return [("quantize", self.layer(None)), *rules]

    @property
    def asymmetric(self) -> list[str]:
        """Where zero points are asked for."""
        rules = [
            f"quantize.rules.{index}" for index, rule in enumerate(self.rules) if rule.symmetric is False
        ]
        return rules if self.symmetric else ["quantize", *rules]

    @property
    def static(self) -> bool:
        """Whether activations of some layers have calibrated ranges."""
        return any(wanted.activations in STATIC for _, wanted in self.asked)

    @field_validator("activations")
    @classmethod
    def _have_kernels(cls, activations: Activations, info: ValidationInfo) -> str:
        if {"weights", "granularity"} <= set(info.data):
            bits, group = bits_of(info.data["weights"]), group_of(info.data["granularity"])
            if problem := kernel_problem(Precision(bits, group, activations=activations)):
                raise ValueError(problem)
        return activations

    @field_validator("method")
    @classmethod
    def _has_something_to_round(cls, method: str, info: ValidationInfo) -> str:
        dtypes = {info.data.get("weights"), *(rule.weights for rule in info.data.get("rules", ()))}
        if method == "gptq":  # AWQ has nothing to fold a table's factors into.
            dtypes.add(info.data.get("embeddings"))
        if method != "nearest" and dtypes <= {"int8", "float32"}:
            raise ValueError(
                f"{method} is for less than int8, and int8 loses next to nothing to rounding; write nearest"
            )
        return method


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
        None,
        ge=0,
        le=100,
        description="accuracy that may be lost on the data of --data, in points: 0.5 is half a point",
    )

    @field_validator("max_drop")
    @classmethod
    def _in_points(cls, points: float | None) -> float | None:
        if points is not None and (problem := drop_problem(points)):
            raise ValueError(problem)
        return points


NAME = r"^[a-z0-9][a-z0-9-]*$"


class Recipe(Closed):
    """Everything that turns a checkpoint into an artifact, but for the device."""

    name: str = Field(pattern=NAME)
    description: str
    runtime: Runtime
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

    def to_json(self) -> dict[str, Any]:
        """All keys with their defaults."""
        return self.model_dump(mode="json")

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.recover is not None and self.recover.qat:
            if self.quantize is None:
                raise ValueError("recover.qat rounds as quantize says, and there is no quantize; add it")
            if self.quantize.static:
                raise ValueError(
                    "recover.qat knows no static activations; write int8_dynamic, or leave it out"
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
        """Whether data has to be seen: by GPTQ or AWQ, to equalize, or before ranges are fixed, of
        activations, or of keys and values where the model has a cache that can be int8.  Only ONNX Runtime
        wants the latter."""
        return self.quantize is not None and (
            self.quantize.static
            or self.quantize.method != "nearest"
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


def target_of(recipe: Recipe) -> str:
    """What a recipe compiles for; one without was refused before, by the backend that needs it."""
    assert recipe.target is not None
    return recipe.target


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
