"""Recipes as data: how to turn a checkpoint into an artifact.

`recipes/*.yaml` are bundled; a user's file works the same way.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from nf_edge.core.limits import LimitsOn, loss_problem, points_problem
from nf_edge.core.metrics import MetricName
from nf_edge.core.recipe.prune import Prune, Recover
from nf_edge.core.recipe.quantize import Quantize
from nf_edge.core.resources import names, resolve
from nf_edge.core.yaml_schema import Closed, load

# The largest accepted error of a float32 artifact's logits, as a share of the largest logit of PyTorch.
FP32_TOLERANCE = 1e-4


class Shapes(Closed):
    """Shape of `input_ids` and `attention_mask`, [batch, length].

    A language model with a cache takes one row of 1 to P tokens.  P is the number of positions in the cache.
    """

    batch: Literal[1, "dynamic"] = Field(1, description="rows: one, or any number (with a cache: always one)")
    length: Annotated[int, Field(ge=1)] | Literal["dynamic", "full"] = Field(
        "dynamic",
        description="tokens: a fixed number (full: n_positions), or 1 to n_positions (with a cache: its "
        "positions)",
    )


class Limits(Closed):
    """The largest accepted differences between the artifact and the checkpoint; if an export exceeds one, it
    stops with exit code 5.
    """

    max_logit_error: float | None = Field(
        None,
        gt=0,
        description="largest difference between a logit and PyTorch's, as a share of the largest logit",
    )
    max_drop: float | dict[MetricName, float] | None = Field(
        None,
        description="largest loss on the data of --data. A number is in points (0.5 is half a point) of "
        "accuracy, of a regression's Pearson correlation or of a multi-label classifier's micro F1. A "
        "mapping gives the loss of each metric: in points, in percent for perplexity, and in squared error "
        "for mse",
    )
    max_changed: float | None = Field(
        None, ge=0, le=100, description="largest share of changed answers, in percent; needs no labels"
    )
    max_kl: float | None = Field(
        None, ge=0, description="largest KL divergence of the answers, in nats; needs no labels"
    )
    on: LimitsOn = Field(
        "estimate",
        description="what must keep the limits on answers: the measured value, or the bad end of its 95 % "
        "interval",
    )

    @field_validator("max_drop", mode="before")
    @classmethod
    def _in_units(cls, value: Any) -> Any:
        if isinstance(value, dict) and not value:
            raise ValueError("names no metric; write METRIC: LOSS, or leave max_drop out")
        losses = value if isinstance(value, dict) else {"": value}
        for name, loss in losses.items() if value is not None else ():
            if not isinstance(loss, int | float) or isinstance(loss, bool):
                raise ValueError(f"{f'{name} ' if name else ''}must be a number")
            if problem := loss_problem(name, loss) if name else points_problem(loss):
                raise ValueError(problem)
        return value

    def losses(self, main: MetricName) -> dict[MetricName, float]:
        """The largest accepted loss of each metric.  If `max_drop` names no metric, it limits `main`."""
        if self.max_drop is None:
            return {}
        return self.max_drop if isinstance(self.max_drop, dict) else {main: self.max_drop}


NAME = r"^[a-z0-9][a-z0-9-]*$"


class Recipe(Closed):
    """Everything that turns a checkpoint into an artifact, except the device."""

    name: str = Field(pattern=NAME)
    description: str
    runtime: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="the package that runs the file: executorch or onnxruntime"
    )
    backend: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    target: str | None = Field(None, description="the accelerator to compile for, if the backend has several")
    prune: Prune | None = None
    recover: Recover | None = None
    quantize: Quantize | None = None
    shapes: Shapes = Shapes()
    logits: Literal["last", "all"] = Field(
        "last",
        description="logits that a language model returns: of the last token, with a cache; or of all "
        "tokens, without a cache",
    )
    limits: Limits = Limits()

    @field_validator("name")
    @classmethod
    def _equals_the_file_name(cls, name: str, info: ValidationInfo) -> str:
        if info.context and name != info.context["path"].stem:
            raise ValueError(f"must be the file's name without .yaml, {info.context['path'].stem!r}")
        return name

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON values, with all keys, including those with their default."""
        return self.model_dump(mode="json")

    @model_validator(mode="after")
    def _consistent(self) -> "Recipe":
        if self.recover is not None and self.recover.qat:
            if self.quantize is None:
                raise ValueError(
                    "recover.qat needs the section quantize, which defines the rounding; add this section"
                )
            if self.quantize.static:
                raise ValueError(
                    "recover.qat does not support static activations; write activations: int8_dynamic, or "
                    "leave qat out"
                )
        error = self.limits.max_logit_error
        if self.quantize is None and error is not None and error > FP32_TOLERANCE:
            raise ValueError(
                f"limits.max_logit_error is {error:g}, but a recipe without quantize allows at most "
                f"{FP32_TOLERANCE:g}; lower the limit, or leave it out"
            )
        return self

    @field_validator("logits")
    @classmethod
    def _cached_where_the_cache_is_quantized(cls, logits: str, info: ValidationInfo) -> str:
        quantize = info.data.get("quantize")
        if logits == "all" and quantize is not None and quantize.kv_cache == "int8":
            raise ValueError(
                "quantize.kv_cache needs a cache, but a model with logits: all has none; "
                "write last, or leave kv_cache out"
            )
        return logits

    @property
    def max_logit_error(self) -> float | None:
        """The limit on the logit error, which a float32 recipe always has; None: no limit."""
        if self.limits.max_logit_error is None and self.quantize is None:
            return FP32_TOLERANCE
        return self.limits.max_logit_error

    @property
    def shrinks(self) -> bool:
        """Whether the recipe prunes or trains the checkpoint, which needs training data."""
        return self.prune is not None or self.recover is not None

    @property
    def is_stock(self) -> bool:
        """Whether the artifact runs on an unmodified runtime; recipes named `nf-…` need kernels of
        nf-edge.
        """
        return not self.name.startswith("nf-")


def target_of(recipe: Recipe) -> str:
    """The accelerator that a recipe compiles for.  The recipe's backend must require a `target`."""
    assert recipe.target is not None
    return recipe.target


def load_recipe(name: str) -> Recipe:
    """Load a bundled recipe by its name, or a YAML file by its path.

    Raises:
        BadInput: the recipe does not exist or is invalid; the message lists all errors, each with its line.
    """
    return load(resolve("recipes", name), Recipe)


def bundled_recipes() -> list[Recipe]:
    return [load_recipe(name) for name in names("recipes")]


def recipe_file(name: str) -> Path:
    """The path of the YAML file of a recipe, from the name of a bundled recipe or a path.

    Raises:
        BadInput: the file does not exist.
    """
    return resolve("recipes", name)
