"""Whether lowering a checkpoint again gave an artifact's files."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SameFile:
    """Whether lowering again gave the artifact's files.

    Attributes:
        same: None if unknown: other software may explain a difference, or nothing was lowered again.
        text: the result in words.
    """

    same: bool | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"same_files": self.same, "text": self.text}
