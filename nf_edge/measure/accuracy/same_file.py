"""Whether lowering a checkpoint again gave files identical to the artifact's."""

from dataclasses import dataclass
from typing import Any

from nf_edge.core.errors import EXPORT_AGAIN, AccuracyGate


@dataclass(frozen=True)
class SameFile:
    """Whether lowering the checkpoint again gave files identical to the artifact's.

    Attributes:
        same: None if unknown: nothing was lowered again, or other software may explain a difference.
        text: the result in words.
    """

    same: bool | None
    text: str

    @property
    def problem(self) -> str:
        """The reason why the gate fails if lowering the checkpoint again gave other files; otherwise ""."""
        if self.same is not False:
            return ""
        return "lowering the checkpoint again gives another file, so this file is not what its recipe gives"

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error, whose message is `problem`; None if there is no problem."""
        return AccuracyGate(self.problem, fix=EXPORT_AGAIN) if self.problem else None

    def to_json(self) -> dict[str, Any]:
        return {"same_files": self.same, "text": self.text}
