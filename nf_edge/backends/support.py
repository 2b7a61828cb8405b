"""What a backend supports: one value per backend, which recipes are compared with."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nf_edge.core.recipe.precision import STATIC, Activations, Precision

# Sizes of groups of inputs that share a scale, and one scale per channel.
GROUPS: tuple[int | None, ...] = (16, 32, 64, 128)
PER_CHANNEL: tuple[int | None, ...] = (None,)


@dataclass(frozen=True)
class Kernel:
    """Weights that one kernel of a library takes.

    Attributes:
        stored: bits that each weight takes in the file.
        bits: the widths of weights that are stored so; narrower ones leave bits unused.
        groups: numbers of inputs (of a table: columns) that share a scale; None is one scale per channel
            (of a table: per row).
        activations: what a linear layer's inputs are multiplied as; ("none",) for a table.
        multiple: what the number of inputs must be a multiple of, in addition to the group.
    """

    stored: int
    bits: tuple[int, ...]
    groups: tuple[int | None, ...]
    activations: tuple[Activations, ...] = ("none",)
    multiple: int = 1

    def takes(self, precision: Precision) -> bool:
        """Whether the kernel multiplies or looks up weights of this precision."""
        return (
            precision.bits in self.bits
            and precision.group in self.groups
            and precision.activations in self.activations
        )


# Rows that ExecuTorch and ONNX Runtime look up.
TABLES = (
    Kernel(2, (2,), GROUPS),
    Kernel(4, (3, 4), GROUPS),
    Kernel(8, (5, 6, 7, 8), GROUPS),
    Kernel(8, (2, 3, 4, 5, 6, 7, 8), PER_CHANNEL),
)


def kernel_for(kernels: Iterable[Kernel], precision: Precision) -> Kernel | None:
    """The first kernel that takes a precision; None where there is none."""
    return next((kernel for kernel in kernels if kernel.takes(precision)), None)


@dataclass(frozen=True)
class Support:
    """Everything that a recipe may request from one backend.

    Attributes:
        backend: the backend's name.
        runtime: the package that runs its files.
        layers: kernels for linear layers.
        tables: kernels for token and position tables.
        targets: accelerators that it compiles for, one of which a recipe must name; none where its files
            run everywhere.
        own_kernels: whether its files call kernels of nf-edge; its recipes are named `nf-`.
        any_batch: whether a file takes any number of rows.
        dynamic_length: whether a file takes rows of any length.
        float_layers: whether linear layers may stay in floating point, all or some.
        rules: whether single modules may have other precisions.
        mixed_static: which layers a recipe with static activations may mix: any; those, int8 per_channel and
            floating point; or none with other activations.
        zero_points: whether weights may be asymmetric.
        attention: dtypes that attention multiplies.
        caches: dtypes of a language model's keys and values; none where files have no cache.
        static_cache: whether an int8 cache has calibrated scales, one per channel.
        methods: ways to round weights.
        channels: what the inputs and outputs of a quantized linear layer must be a multiple of.
        float_logits: whether the outputs of a layer with static activations are floating point; where they
            are int8, a layer whose outputs are logits has other activations.
        signed_scales: whether scales of weights may be negative.
        row_scales: whether int8_dynamic has one range for each row, or for each group of each token; else
            it has one for each token.
    """

    backend: str
    runtime: str
    layers: tuple[Kernel, ...]
    tables: tuple[Kernel, ...] = TABLES
    targets: tuple[str, ...] = ()
    own_kernels: bool = False
    any_batch: bool = False
    dynamic_length: bool = True
    float_layers: bool = True
    rules: bool = True
    mixed_static: Literal["any", "int8_per_channel", "none"] = "any"
    zero_points: bool = False
    attention: tuple[str, ...] = ("float32",)
    caches: tuple[str, ...] = ()
    static_cache: bool = False
    methods: tuple[str, ...] = ("nearest", "gptq", "awq")
    channels: int = 1
    float_logits: bool = True
    signed_scales: bool = False
    row_scales: bool = False

    def layer_kernel(self, precision: Precision) -> Kernel | None:
        """The kernel that multiplies weights of this precision; None where there is none."""
        return kernel_for(self.layers, precision)

    def table_kernel(self, precision: Precision) -> Kernel | None:
        """The kernel that looks up rows of this precision; None where there is none."""
        return kernel_for(self.tables, precision)

    def mixes(self, precision: Precision) -> bool:
        """Whether a recipe with static activations may have such a layer too."""
        if self.mixed_static == "any" or precision.bits is None or precision.activations in STATIC:
            return True
        return self.mixed_static == "int8_per_channel" and (precision.bits, precision.group) == (8, None)
