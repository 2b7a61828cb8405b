"""The recipes that a backend supports: each backend has one `Support`, and recipes are compared with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from nf_edge.core.recipe.precision import STATIC, Activations, Precision

# Numbers of inputs that share a scale; None is one scale per channel.
GROUPS: tuple[int | None, ...] = (16, 32, 64, 128)
PER_CHANNEL: tuple[int | None, ...] = (None,)


@dataclass(frozen=True)
class Kernel:
    """A kernel of a library, and the weights that it accepts.

    Attributes:
        stored: bits per weight in the file.
        bits: accepted widths of weights; narrower ones leave stored bits unused.
        groups: numbers of inputs (for a table: columns) that share a scale; None is one scale per channel
            (for a table: per row).
        activations: accepted dtypes of a linear layer's inputs; ("none",) for a table.
        multiple: a number that must divide the number of inputs if weights have no groups.
    """

    stored: int
    bits: tuple[int, ...]
    groups: tuple[int | None, ...]
    activations: tuple[Activations, ...] = ("none",)
    multiple: int = 1

    def takes(self, precision: Precision) -> bool:
        """Whether the kernel accepts weights and inputs of this precision."""
        return (
            precision.bits in self.bits
            and precision.group in self.groups
            and precision.activations in self.activations
        )


# Table kernels of ExecuTorch and ONNX Runtime.
TABLES = (
    Kernel(2, (2,), GROUPS),
    Kernel(4, (3, 4), GROUPS),
    Kernel(8, (5, 6, 7, 8), GROUPS),
    Kernel(8, (2, 3, 4, 5, 6, 7, 8), PER_CHANNEL),
)


def kernel_for(kernels: Iterable[Kernel], precision: Precision) -> Kernel | None:
    """The first kernel that accepts a precision; None if no kernel does."""
    return next((kernel for kernel in kernels if kernel.takes(precision)), None)


@dataclass(frozen=True)
class Support:
    """Everything that a recipe may request from one backend.

    Attributes:
        backend: the backend's name.
        runtime: the package that runs its files.
        layers: kernels for linear layers.
        tables: kernels for token and position tables.
        targets: accelerators to compile for.  A recipe must name one, unless the tuple is empty.
        own_kernels: whether its files call nf-edge's kernels; if so, the names of its recipes start with
            `nf-`.
        any_batch: whether a file accepts any number of rows.
        dynamic_length: whether a file accepts rows of any length.
        float_layers: whether linear layers may stay in floating point.
        rules: whether rules may give single modules other precisions.
        mixed_static: in a recipe with static activations, the layers that may be quantized without them:
            any, only int8 per_channel, or none.
        zero_points: whether weights may be asymmetric.
        attention: dtypes of attention's products.
        caches: dtypes of a language model's keys and values; empty if files have no cache.
        static_cache: whether an int8 cache has calibrated scales, one per channel.
        methods: methods of rounding weights.
        channels: a required divisor of the numbers of inputs and outputs of a quantized linear layer.
        float_logits: whether a layer with static activations can return floating-point logits.  If not, the
            layers that compute logits have int8_dynamic or float32 activations instead.
        signed_scales: whether scales of weights may be negative.
        row_scales: how int8_dynamic ranges are shared.  False: one range per token.  True: one range for all
            tokens of an input row; if weights have groups, one range per token and group.
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
        """The kernel that multiplies weights of this precision; None if no kernel does."""
        return kernel_for(self.layers, precision)

    def table_kernel(self, precision: Precision) -> Kernel | None:
        """The kernel that looks up rows of this precision; None if no kernel does."""
        return kernel_for(self.tables, precision)

    def mixes(self, precision: Precision) -> bool:
        """Whether a recipe with static activations may also contain a layer of this precision."""
        if self.mixed_static == "any" or precision.bits is None or precision.activations in STATIC:
            return True
        return self.mixed_static == "int8_per_channel" and (precision.bits, precision.group) == (8, None)
