"""The Ethos-U NPUs to compile for, and their differences."""

from typing import Any

MACS = {"u55": (32, 64, 128, 256), "u65": (256, 512), "u85": (128, 256, 512, 1024, 2048)}
TARGETS = tuple(f"ethos-{family}-{macs}" for family, sizes in MACS.items() for macs in sizes)


def has_matrix_unit(target: str) -> bool:
    """Whether the target multiplies two activations as fast as an activation and weights.

    Other targets multiply two activations row by row, and only in int8.  For these targets, ExecuTorch's
    partitioner leaves int16 products of two activations to the host.
    """
    return target.startswith("ethos-u85")


def compile_spec(target: str) -> Any:
    """The settings of Arm's compiler for a target, with Arm's default system and memory mode."""
    from executorch.backends.arm.ethosu import EthosUCompileSpec

    return EthosUCompileSpec(target, extra_flags=["--verbose-performance"])
