"""Whether a second lowering of a checkpoint gave files identical to the artifact's."""

from dataclasses import dataclass
from typing import Any

from nf_edge.core.errors import AccuracyGate

EXPORT_AGAIN = "export the artifact again"


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

    @property
    def problem(self) -> str:
        """The reason why the artifact fails the gate, whatever its accuracy; "" if no difference is known."""
        if self.same is not False:
            return ""
        return "lowering again gives another file, so this file is not what its recipe gives"

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error for `problem`; None without a problem."""
        return AccuracyGate(self.problem, fix=EXPORT_AGAIN) if self.problem else None

    def to_json(self) -> dict[str, Any]:
        return {"same_files": self.same, "text": self.text}
