"""The precision of one module's weights and inputs."""

from dataclasses import dataclass, field
from typing import Literal

Activations = Literal["none", "int8_dynamic", "int8_static", "int16_static"]
# Activations with calibrated ranges.
STATIC = ("int8_static", "int16_static")


@dataclass(frozen=True)
class Precision:
    """The precision of a linear layer or a table.

    Attributes:
        bits: of the levels that weights are rounded to, 2 to 8; None if they stay float32.
        group: inputs (of a table: columns) that share a scale; None is one scale per output channel or row.
        symmetric: whether 0 is the middle of the levels; where not, each scale has a zero point.
        activations: dtype and kind of range of a layer's inputs; "none" for a table and for float32 inputs.
        stored: bits that a weight takes in the file: `bits`, or the next width that has a kernel.
        reason: why this differs from the recipe's request, or what it does not save; "" if neither holds.
    """

    bits: int | None = None
    group: int | None = None
    symmetric: bool = True
    activations: Activations = "none"
    stored: int | None = None
    reason: str = field(default="", compare=False)

    @property
    def scaling(self) -> "Precision":
        """The precision without activations: two modules that agree in this can share weights."""
        return Precision(self.bits, self.group, self.symmetric, stored=self.stored)


# The tables of a network; all other modules that can be quantized are linear layers.
TOKENS, POSITIONS = "transformer.wte", "transformer.wpe"


def bits_of(dtype: str) -> int:
    """4 of `int4`."""
    return int(dtype.removeprefix("int"))


def group_of(granularity: str) -> int | None:
    """32 of `group_32`; None of per_channel."""
    return None if granularity == "per_channel" else int(granularity.removeprefix("group_"))


def granularity_of(group: int | None) -> str:
    """`group_32` of 32; `per_channel` of None."""
    return f"group_{group}" if group else "per_channel"
