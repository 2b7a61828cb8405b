"""The memory that an export needs on this machine, predicted before the long work."""

import math
from dataclasses import dataclass
from typing import Any

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.available_memory import available_memory
from nf_edge.core.figures import format_bytes
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.model import Checkpoint

# Resident bytes of Python, PyTorch and the libraries that lower a program, measured on x86-64 Linux in
# December 2026.
LIBRARIES = 550_000_000


@dataclass(frozen=True)
class HostMemory:
    """The memory of an export on this machine.

    Attributes:
        predicted: resident bytes at the peak, including pages of mapped files.
        available: bytes that this machine can still give; None if unknown.
    """

    predicted: int
    available: int | None

    @property
    def remark(self) -> str:
        """A warning if the machine may not have enough memory; "" if it has, or if that is unknown."""
        if self.available is None or self.predicted <= self.available:
            return ""
        return (
            f"this export needs about {format_bytes(self.predicted)} of memory, and this machine has "
            f"{format_bytes(self.available)} left; the system may end the export. Close other programs, add "
            "swap, or export on another machine"
        )

    def to_json(self) -> dict[str, Any]:
        return {"predicted_bytes": self.predicted, "available_bytes": self.available}


def predict_host_memory(checkpoint: Checkpoint, recipe: Recipe) -> HostMemory:
    """The memory that the export of a checkpoint needs on this machine.

    The peak is either in the lowering or in the check, which loads the artifact into the same process.
    """
    backend, config = backend_for(recipe), checkpoint.config
    plan = backend.predict(config, InputShape.of(recipe, config), recipe)
    stored = sum(tensor.nbytes for tensor in checkpoint.tensors.values())
    float32 = 4 * checkpoint.parameters
    table = 4 * config.vocab_size * config.n_embd
    layers = 4 * sum(math.prod(shape) for shape in config.matrix_shapes().values())
    # PyTorch's runs read all weights.  The largest tensor is copied twice when it is written, or rounded to
    # float32 and subtracted.
    lowering = stored + 3 * table
    if recipe.quantize is not None:
        lowering += plan.file
        # The calibration runs the float32 program, whose runtime packs its weights, after pages are released.
        if recipe.quantize.static:
            lowering = max(lowering, float32 + layers)
    loaded = sum(part or 0 for part in (plan.mapped, plan.loaded, plan.cache, plan.arenas, plan.workspace))
    # Weights of other dtypes are converted; float32 weights stay in the mapped file.
    converted = 0 if stored >= float32 else float32
    # While the artifact loads, the checkpoint's pages are released, and one tensor is packed at a time.
    needed = LIBRARIES + converted + max(lowering, loaded + table)
    return HostMemory(needed, available_memory())
