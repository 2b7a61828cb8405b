"""A checkpoint that `import` or `init` wrote, loaded back from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nf_edge.model.checkpoint import Checkpoint, load_checkpoint


@dataclass(frozen=True)
class WrittenCheckpoint:
    """A new checkpoint, and the remarks on how it was made.

    Attributes:
        notes: what the conversion assumed, dropped or added.
    """

    checkpoint: Checkpoint
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path, notes: tuple[str, ...] = ()) -> "WrittenCheckpoint":
        """Load a new checkpoint back from its folder, to check that it is complete.

        Args:
            notes: what the conversion assumed, dropped or added.

        Raises:
            BadInput: a file is missing or invalid.
        """
        return cls(load_checkpoint(path), notes)

    @property
    def dtype(self) -> str:
        """The dtype of the weights: `float32`, `float16` or `bfloat16`."""
        return str(next(iter(self.checkpoint.tensors.values())).dtype).removeprefix("torch.")

    def to_json(self) -> dict[str, Any]:
        return {
            "checkpoint": str(self.checkpoint.path),
            "parameters": self.checkpoint.parameters,
            "dtype": self.dtype,
            "tokenizer": self.checkpoint.tokenizer_file is not None,
            "config": self.checkpoint.config.to_json(),
            "notes": list(self.notes),
        }
