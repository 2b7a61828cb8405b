"""The precision of a module's weights and inputs."""

from dataclasses import dataclass, field
from typing import Literal

Activations = Literal["none", "int8_dynamic", "int8_static", "int16_static"]
# Activations with calibrated ranges.
STATIC = ("int8_static", "int16_static")


@dataclass(frozen=True)
class Precision:
    """The precision of a linear layer or a table.

    Attributes:
        bits: bits of the levels that weights are rounded to, 2 to 8; None if weights stay float32.
        group: number of inputs (for a table: columns) that share a scale; None: one scale per output channel
            or row.
        symmetric: whether the levels are symmetric about 0; if not, each scale has a zero point.
        activations: dtype of the layer's inputs, and when their range is computed: at run time (`dynamic`) or
            at calibration (`static`).  "none" for a table and for float32 inputs.
        stored: bits of a weight in the file; None if weights stay float32, or if no kernel is chosen yet.
        reason: why the precision differs from the recipe's request, or does not make the file smaller; else
            "".
    """

    bits: int | None = None
    group: int | None = None
    symmetric: bool = True
    activations: Activations = "none"
    stored: int | None = None
    reason: str = field(default="", compare=False)

    @property
    def scaling(self) -> "Precision":
        """The precision of the weights only: a copy whose `activations` are "none".

        Two modules can share weights only if these copies are equal.
        """
        return Precision(self.bits, self.group, self.symmetric, stored=self.stored)


# The embedding tables of a network.  All other modules that can be quantized are linear layers.
TOKENS, POSITIONS = "transformer.wte", "transformer.wpe"


def bits_of(dtype: str) -> int:
    """The number of bits of an integer dtype, such as 4 for `int4`."""
    return int(dtype.removeprefix("int"))


def group_of(granularity: str) -> int | None:
    """The group size of a granularity, such as 32 for `group_32`; None for `per_channel`."""
    return None if granularity == "per_channel" else int(granularity.removeprefix("group_"))


def granularity_of(group: int | None) -> str:
    """The granularity of a group size, such as `group_32` for 32; `per_channel` for None."""
    return f"group_{group}" if group else "per_channel"
