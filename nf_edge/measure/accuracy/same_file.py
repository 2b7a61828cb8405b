"""Whether a second lowering of a checkpoint gave files identical to the artifact's."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SameFile:
    """Whether a second lowering of the checkpoint gave files identical to the artifact's.

    Attributes:
        same: whether the files are identical.  None if unknown: other software may explain a difference, or
            nothing was lowered again.
        text: the result in words.
    """

    same: bool | None
    text: str

    def to_json(self) -> dict[str, Any]:
        return {"same_files": self.same, "text": self.text}
