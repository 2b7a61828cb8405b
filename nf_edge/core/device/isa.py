"""Instruction sets of CPU cores, by the names that device files use."""

from typing import Literal, get_args

# The first line has Arm's sets by the names of its compilers; the second has those of x86-64 by Linux' names.
Isa = Literal[
    "neon", "dotprod", "fp16", "i8mm", "bf16", "sve", "sve2", "sme", "mve", "dsp", "fpu",
    "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8",
]  # fmt: skip
ISAS: tuple[Isa, ...] = get_args(Isa)

# Linux' names that differ (arch/arm64/kernel/cpuinfo.c).
LINUX_NAMES: dict[str, Isa] = {"asimd": "neon", "asimddp": "dotprod", "asimdhp": "fp16"}


def of_linux(flags: str) -> list[Isa]:
    """The instruction sets of a core, by the names of device files.

    Args:
        flags: the value of the line `Features` or `flags` in /proc/cpuinfo.
    """
    words = {LINUX_NAMES.get(word, word) for word in flags.split()}
    # `fpu` is Cortex-M's option here; x86-64's flag of that name says something else.
    return [isa for isa in ISAS if isa in words and isa != "fpu"]
