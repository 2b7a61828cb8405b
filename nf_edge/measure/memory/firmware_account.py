"""The memory of a microcontroller's firmware: flash, and the parts that SRAM holds at the same time."""

from dataclasses import dataclass
from typing import Literal

from nf_edge.backends.memory_plan import MemoryPlan
from nf_edge.core.figures import Figure

CODE = "code"
FLASH_PARTS = ("model file", CODE)
SRAM_PARTS = (
    "planned arena",
    "method allocator",
    "temporary allocator",
    "stack and variables",
    "input buffers",
)
FLASH, SRAM = "flash", "SRAM"


@dataclass(frozen=True)
class FirmwareAccount:
    """One account of a firmware that runs the model and nothing else.

    Attributes:
        parts: bytes of each part, by the names in `FLASH_PARTS` and `SRAM_PARTS`.
        flash: bytes of flash, without parts of unknown size.
        sram: bytes of SRAM.
        uncounted: maps each unknown part of flash to the reason.
    """

    parts: dict[str, Figure]
    flash: Figure
    sram: Figure
    uncounted: dict[str, str]

    def figures(self) -> dict[str, Figure]:
        """Bytes of each part and of both totals (flash, SRAM) by name, in the order of the report."""
        of_flash = {name: self.parts[name] for name in FLASH_PARTS}
        of_sram = {name: self.parts[name] for name in SRAM_PARTS}
        return {**of_flash, FLASH: self.flash, **of_sram, SRAM: self.sram}


def firmware_account(plan: MemoryPlan, how: Literal["planned", "predicted"]) -> FirmwareAccount | None:
    """Make an account from a memory plan; None if the model does not run on microcontrollers.

    Args:
        how: the origin of the figures: a plan from a file is `planned`, one from a config is `predicted`.
    """
    firmware = plan.firmware
    if firmware is None:
        return None
    pools = (plan.arenas or 0, plan.loaded or 0, plan.workspace or 0, firmware.stack, firmware.inputs)
    parts = {"model file": Figure(plan.file, "bytes", how)}
    parts |= {name: Figure(size, "bytes", how) for name, size in zip(SRAM_PARTS, pools, strict=True)}
    if firmware.code is None:
        parts[CODE] = Figure.unavailable("bytes", firmware.note)
    else:
        parts[CODE] = Figure(firmware.code, "bytes", "predicted", firmware.note)
    return FirmwareAccount(
        parts=parts,
        flash=Figure(plan.file + (firmware.code or 0), "bytes", how),
        sram=Figure(sum(pools), "bytes", how),
        uncounted={} if firmware.code is not None else {CODE: firmware.note},
    )
