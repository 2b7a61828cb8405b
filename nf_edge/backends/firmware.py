"""Memory of a microcontroller's firmware, except the model file and the memory pools that it needs.

The application is not included: a device file sets aside memory for it (`reserve`).
"""

from dataclasses import dataclass

KIB = 1024
# The application's flash that device files set aside.
APPLICATION_FLASH = 64 * KIB


@dataclass(frozen=True)
class Firmware:
    """Bytes of a firmware, except the model file and the memory pools that it needs.

    Attributes:
        code: code and constants in flash; None if unknown.
        stack: the deepest stack, and the runtime's variables, in SRAM.
        inputs: the application's buffers of token ids and mask, in SRAM.
        note: the conditions of the measurement, or why there is none.
    """

    code: int | None
    stack: int
    inputs: int
    note: str

    @property
    def sram(self) -> int:
        return self.stack + self.inputs


def input_bytes(length: int) -> int:
    """Bytes of the token ids and mask of a row with `length` tokens, int64 each."""
    return 2 * 8 * length
