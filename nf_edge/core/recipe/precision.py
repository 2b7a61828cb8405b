"""What the weights of one module are kept as, and what runtimes store."""

from dataclasses import dataclass, field
from typing import Literal

Runtime = Literal["executorch", "onnxruntime"]
Activations = Literal["none", "int8_dynamic", "int8_static", "int16_static"]
# Those with calibrated ranges.
STATIC = ("int8_static", "int16_static")


@dataclass(frozen=True)
class Precision:
    """What a linear layer or a table gets.

    Attributes:
        bits: of the levels that its weights are rounded to, 2 to 8; None where they stay float32.
        group: inputs (of a table: columns) that share a scale; None is one for each output channel or row.
        symmetric: whether 0 is the middle of the levels; where not, each scale has a zero point with it.
        activations: what a layer's inputs are multiplied as; of a table, or in float32, "none".
        stored: bits that a weight takes in the file: `bits`, or the next width that the runtime has.
        reason: why it is not what was asked for, or what it does not bring; "" where there is nothing to say.
    """

    bits: int | None = None
    group: int | None = None
    symmetric: bool = True
    activations: Activations = "none"
    stored: int | None = None
    reason: str = field(default="", compare=False)

    @property
    def scaling(self) -> "Precision":
        """Of its weights alone: two modules that agree in this can share them."""
        return Precision(self.bits, self.group, self.symmetric, stored=self.stored)


# Modules of a network that are tables; the others that can be quantized are linear layers.
TOKENS, POSITIONS = "transformer.wte", "transformer.wpe"
# Bits that are stored, of weights whose scales are shared by groups and of those with one for each channel or
# row.
Widths = tuple[tuple[int, ...], tuple[int, ...]]
# Of an NPU that multiplies with int16_static.
NPU_LAYERS: Widths = ((), (4, 8))


@dataclass(frozen=True)
class Kernels:
    """What weights a library has kernels for.

    Attributes:
        layers, tables: the bits that it multiplies, and looks up, as they are stored.
        channels: what the inputs and the outputs of a layer that is not float have to be a multiple of.
    """

    layers: Widths
    tables: Widths = ((2, 4, 8), (8,))
    channels: int = 1


# By runtime, and by backend where a delegate has others.
KERNELS = {
    "executorch": Kernels(layers=((4,), (4, 8))),
    "onnxruntime": Kernels(layers=((2, 4, 8), (8,))),
    "vulkan": Kernels(layers=((4,), (8,)), tables=((4,), ()), channels=4),
}


def kernels_of(runtime: Runtime, backend: str) -> Kernels:
    """Those that a backend's files are run with."""
    return KERNELS.get(backend, KERNELS[runtime])


def stored_bits(bits: int, group: int | None, widths: Widths) -> int | None:
    """The narrowest width that a runtime has for so many bits; None where it has none."""
    grouped, per_channel = widths
    return next((width for width in (grouped if group else per_channel) if width >= bits), None)


def bits_of(dtype: str) -> int:
    """4 of `int4`."""
    return int(dtype.removeprefix("int"))


def group_of(granularity: str) -> int | None:
    """32 of `group_32`; None of per_channel."""
    return None if granularity == "per_channel" else int(granularity.removeprefix("group_"))
