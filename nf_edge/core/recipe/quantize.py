"""The recipe section `quantize`: precisions of linear layers, embeddings, attention and cache."""

from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from nf_edge.core.recipe.precision import (
    POSITIONS,
    STATIC,
    TOKENS,
    Activations,
    Precision,
    bits_of,
    group_of,
)
from nf_edge.core.yaml_schema import Closed

Width = Literal["int2", "int3", "int4", "int5", "int6", "int7", "int8"]
Dtype = Literal["float32", "int2", "int3", "int4", "int5", "int6", "int7", "int8"]
Granularity = Literal["per_channel", "group_16", "group_32", "group_64", "group_128"]
# The group size if the recipe names none.
GROUP_SIZE = 32


class Rule(Closed):
    """The precision of the modules that match a pattern; it replaces the precision of section quantize."""

    modules: str = Field(
        min_length=1,
        description="a pattern of module names as reports print them; * is any text, ? one character",
    )
    weights: Dtype = Field(description="dtype of the weights")
    granularity: Granularity | None = Field(
        None,
        description="as in quantize; default: the value of quantize if the weights' dtype is the same; else "
        "per_channel for int16 activations, for int5 to int8 weights with int8 activations, and for int5 to "
        "int8 tables; else groups",
    )
    symmetric: bool | None = Field(None, description="as in quantize; default: the value of quantize")
    activations: Activations | None = Field(
        None, description="as in quantize, for linear layers; default: the value of quantize"
    )


def _has_kernels(rule: Rule, info: ValidationInfo) -> Rule:
    """Check that a backend may support a rule's precision; return the rule unchanged.

    Args:
        info: `info.data` has the keys that precede `rules` in section `quantize`.

    Raises:
        ValueError: no backend supports the precision, or a float32 rule sets other keys.
    """
    if rule.weights == "float32":
        if rule.granularity or rule.activations or rule.symmetric is not None:
            raise ValueError(
                "a rule with weights: float32 must not set granularity, symmetric or activations; remove them"
            )
        return rule
    section = {"weights", "granularity", "symmetric", "activations"}
    if rule.modules not in (TOKENS, POSITIONS) and section <= set(info.data):
        # If the section itself is wrong, its own message comes first.
        precision = Quantize.model_construct(**info.data).layer(rule)
        if problem := kernel_problem(precision):
            raise ValueError(problem)
    return rule


def kernel_problem(precision: Precision) -> str:
    """The reason why no backend supports a linear layer of this precision, with the fix.

    "" if a backend may support it.
    """
    bits, group, activations = precision.bits, precision.group, precision.activations
    if activations == "int16_static" and (bits not in (4, 8) or group):
        return (
            "activations int16_static need int4 or int8 weights with granularity per_channel; "
            "change weights, granularity or activations"
        )
    if activations == "int8_static" and bits != 8:
        return f"no runtime supports int{bits} weights with activations int8_static; write int8_dynamic"
    if activations == "int8_static" and group:
        return (
            "no runtime supports weights in groups with activations int8_static; "
            "write activations int8_dynamic or granularity per_channel"
        )
    return ""


class Quantize(Closed):
    """How linear layers and embeddings are quantized; norms and noise stay float32.

    A layer gets int8 per channel if its number of inputs is not a multiple of the group size.  The same holds
    for the columns of a table.
    """

    weights: Width = Field(description="dtype of the weights of linear layers")
    granularity: Granularity = Field(
        description="weights that share a scale: all inputs of an output channel, or groups of this size"
    )
    symmetric: bool = Field(
        True,
        description="whether the levels of weights and tables are symmetric about 0; false: each scale has a "
        "zero point, so that the levels reach from the smallest weight to the largest",
    )
    activations: Activations = Field(
        description="float32 (none), int8 with a range computed at run time, or int8 or int16 with a "
        "calibrated range"
    )
    embeddings: Dtype = Field(description="dtype of the token table; positions are at least int8")
    rules: tuple[Annotated[Rule, AfterValidator(_has_kernels)], ...] = Field(
        (),
        description="precisions for some modules; the first rule that matches a module applies",
    )
    method: Literal["nearest", "gptq", "awq"] = Field(
        "nearest",
        description="how weights below int8 are rounded: nearest; gptq: the remaining weights compensate for "
        "each rounding error; awq: important channels are scaled first; gptq and awq need calibration data",
    )
    equalize: bool = Field(
        False,
        description="whether to balance the ranges of activation channels by calibrated factors in norms and "
        "in the layers after them; the float32 model's answers stay the same",
    )
    rotate: bool = Field(
        False,
        description="whether to rotate keys, values and noise within each head, so that no channel is an "
        "outlier; the float32 model's answers stay the same",
    )
    kv_cache: Literal["float32", "int8"] = Field(
        "float32",
        description="dtype of a language model's keys and values; int8 has one calibrated scale per channel "
        "in ONNX Runtime, and one scale per token with the kernels of nf-edge",
    )

    attention: Literal["float32", "int8"] = Field(
        "float32",
        description="dtype of the inputs of attention's matrix products; int8 has one scale per token and "
        "needs the kernels of nf-edge",
    )

    def rule_for(self, name: str) -> Rule | None:
        """The first rule that matches a module's name; None if no rule matches."""
        return next((rule for rule in self.rules if fnmatchcase(name, rule.modules)), None)

    def layer(self, rule: Rule | None) -> Precision:
        """The precision of a linear layer: from `rule`, or the recipe's default if `rule` is None."""
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
        """The precision of an embedding table: from `rule`, or the recipe's default if `rule` is None."""
        dtype = self.embeddings if rule is None else rule.weights
        if dtype == "float32":
            return Precision()
        granularity = None if rule is None else rule.granularity
        bits = bits_of(dtype)
        return Precision(bits, self._group(dtype, granularity, per_channel=bits > 4), self._symmetric(rule))

    def _group(self, dtype: str, granularity: Granularity | None, per_channel: bool) -> int | None:
        """The number of weights that share a scale in a module; None: one scale per channel.

        Args:
            dtype: the dtype of the module's weights.
            granularity: the requested granularity; None: the default.
            per_channel: the default if `dtype` is not `self.weights`: one scale per channel (true) or groups
                (false).
        """
        if granularity is None and dtype == self.weights:
            granularity = self.granularity
        if granularity is not None:
            return group_of(granularity)
        return None if per_channel else group_of(self.granularity) or GROUP_SIZE

    def _symmetric(self, rule: Rule | None) -> bool:
        return self.symmetric if rule is None or rule.symmetric is None else rule.symmetric

    @property
    def layers(self) -> list[tuple[str, Precision]]:
        """The precisions that the recipe requests for linear layers, each after its key in the recipe.

        The section `quantize` comes first, then each rule for linear layers.
        """
        rules = [
            (f"quantize.rules.{index}", self.layer(rule))
            for index, rule in enumerate(self.rules)
            if rule.modules not in (TOKENS, POSITIONS)
        ]
        return [("quantize", self.layer(None)), *rules]

    @property
    def asymmetric(self) -> list[str]:
        """The sections of the recipe that request zero points: `quantize`, or rules such as
        `quantize.rules.0`.
        """
        rules = [
            f"quantize.rules.{index}" for index, rule in enumerate(self.rules) if rule.symmetric is False
        ]
        return rules if self.symmetric else ["quantize", *rules]

    @property
    def static(self) -> bool:
        """Whether the activations of any linear layer have calibrated ranges."""
        return any(precision.activations in STATIC for _, precision in self.layers)

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
        if method == "gptq":  # A table has no preceding module that AWQ's factors could be folded into.
            dtypes.add(info.data.get("embeddings"))
        if method != "nearest" and dtypes <= {"int8", "float32"}:
            raise ValueError(
                f"{method} is only for weights below int8, and this recipe has none; write method: nearest"
            )
        return method
