"""The Ethos-U NPUs to compile for, and their differences."""

from typing import Any

MACS = {"u55": (32, 64, 128, 256), "u65": (256, 512), "u85": (128, 256, 512, 1024, 2048)}
TARGETS = tuple(f"ethos-{family}-{macs}" for family, sizes in MACS.items() for macs in sizes)


def has_matrix_unit(target: str) -> bool:
    """Whether it multiplies two activations as it does an activation and weights; others do so row by row,
    and in int8 alone: of more bits ExecuTorch's partitioner leaves such a product to the host."""
    return target.startswith("ethos-u85")


def compile_spec(target: str) -> Any:
    """The settings of an Arm compiler for a target, with Arm's default system and memory mode."""
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    return EthosUCompileSpec(target, extra_flags=["--verbose-performance"])
