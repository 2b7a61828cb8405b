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
    """Everything that a recipe may request from one backend."""

    backend: str
    runtime: str
    """The package that runs the backend's files, such as `executorch`."""
    layers: tuple[Kernel, ...]
    """Kernels for linear layers."""
    tables: tuple[Kernel, ...] = TABLES
    """Kernels for token and position tables."""

    targets: tuple[str, ...] = ()
    """Accelerators to compile for; if there are any, a recipe must name one."""
    own_kernels: bool = False
    """Whether files call nf-edge's kernels; names of recipes then start with `nf-`."""
    any_batch: bool = False
    """Whether a file accepts any number of rows; otherwise one row."""
    dynamic_length: bool = True
    """Whether a file accepts rows of different lengths; otherwise one fixed length."""

    float_layers: bool = True
    """Whether linear layers may stay in floating point."""
    rules: bool = True
    """Whether a recipe may give single modules other precisions."""
    mixed_static: Literal["any", "int8_per_channel", "none"] = "any"
    """The layers that may be quantized without static activations, in a recipe with static activations."""
    zero_points: bool = False
    """Whether weights may be asymmetric."""
    methods: tuple[str, ...] = ("nearest", "gptq", "awq")
    """Methods of rounding weights."""
    channels: int = 1
    """A number that must divide the numbers of inputs and outputs of a quantized linear layer."""
    float_logits: bool = True
    """Whether a layer with static activations can return floating-point logits.  If not, the layers that
    compute logits get int8_dynamic or float32 activations instead.
    """
    signed_scales: bool = False
    """Whether scales of weights may be negative."""
    row_scales: bool = False
    """Whether one int8_dynamic range covers all tokens of an input row (with groups: one group of a token).
    Otherwise it covers one token.
    """

    attention: tuple[str, ...] = ("float32",)
    """Dtypes of attention's products."""
    caches: tuple[str, ...] = ()
    """Dtypes of a language model's cached keys and values; empty if files have no cache."""
    static_cache: bool = False
    """Whether an int8 cache has calibrated scales, one per channel; otherwise one per token at run time."""

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
