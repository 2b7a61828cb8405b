"""The schema of a memory in a device file: its sizes, and the budget that they leave for a model."""

from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from nf_edge.core.device.facts import Fact, SizeFact, Text
from nf_edge.core.device.sizes import format_size
from nf_edge.core.yaml_schema import Closed

MemoryKind = Literal["dram", "sram", "flash"]


class Memory(Closed):
    """One memory of a device.

    size     physical size, bytes
    usable   bytes that one process, or one firmware image, may use
    reserve  bytes for everything except the model and what runs it, such as the application
    """

    name: Text
    kind: MemoryKind
    size: SizeFact
    usable: SizeFact
    reserve: SizeFact | None = None

    @field_validator("usable", "reserve")
    @classmethod
    def _within(cls, part: SizeFact | None, info: ValidationInfo) -> SizeFact | None:
        limit_name = "size" if info.field_name == "usable" else "usable"
        limit = info.data.get(limit_name)  # None if the limit is invalid itself
        if part and limit and part.value > limit.value:
            raise ValueError(
                f"{format_size(part.value)} is more than {limit_name}, {format_size(limit.value)}; "
                "lower one or raise the other"
            )
        return part

    @property
    def budget_bytes(self) -> int:
        """Bytes that a model may use: `usable` minus `reserve`."""
        return self.usable.value - (self.reserve.value if self.reserve else 0)

    def facts(self) -> dict[str, Fact[Any]]:
        """Map the path of each fact, `memory.NAME.KEY`, to the fact."""
        facts: dict[str, SizeFact | None]
        facts = {"size": self.size, "usable": self.usable, "reserve": self.reserve}
        return {f"memory.{self.name}.{key}": fact for key, fact in facts.items() if fact}

    def unverified_budget(self) -> dict[str, Fact[Any]]:
        """The unverified facts that `budget_bytes` depends on, by path (see `facts`).

        `size` is left out, because the budget does not depend on it.
        """
        return {
            path: fact
            for path, fact in self.facts().items()
            if not fact.verified and not path.endswith(".size")
        }
