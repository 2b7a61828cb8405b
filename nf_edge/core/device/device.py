"""The schema of a device file: class, chip, memories, CPU cores, NPU and backends."""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from nf_edge.core.device.cpu import Core
from nf_edge.core.device.facts import Fact, NamesFact, Text, TextFact
from nf_edge.core.device.memory import Memory, MemoryKind
from nf_edge.core.yaml_schema import Closed

DeviceClass = Literal["phone", "sbc", "pc", "mcu"]
BackendName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]

# The kind of memory that holds heap, arenas and mapped weights, and the kind that holds the model file. A
# microcontroller keeps the weights in flash. The file system of other devices is large, so it has no budget.
WORKING_KIND: dict[DeviceClass, MemoryKind] = {"phone": "dram", "sbc": "dram", "pc": "dram", "mcu": "sram"}
STORAGE_KIND: dict[DeviceClass, MemoryKind] = {"mcu": "flash"}


class Device(Closed):
    """The content of a device file.

    A model uses the first memory of each `kind`.  `backends` are in order of preference.  `npu_targets` are
    the compiler's names of the NPUs; recipes use them as `target`.  The target of a Cortex-M core follows
    from its vector instructions.  `missing_backend` names the backend that the device or its NPU would need
    and that nf-edge does not have; with it, `backends` may be empty.
    """

    id: Text
    name: Text
    url: Text | None = None
    class_: DeviceClass = Field(alias="class")
    soc: TextFact
    memory: tuple[Memory, ...]
    cpu: tuple[Core, ...]
    npu: TextFact | None = None
    npu_targets: NamesFact | None = None
    missing_backend: TextFact | None = None
    backends: tuple[BackendName, ...]

    @field_validator("id")
    @classmethod
    def _named_after_its_file(cls, id: str, info: ValidationInfo) -> str:
        if info.context and id != info.context["path"].stem:
            raise ValueError(f"must be the file's name without .yaml, {info.context['path'].stem!r}")
        return id

    @field_validator("memory", "cpu", "backends")
    @classmethod
    def _at_least_one(cls, parts: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
        # `min_length` would report a second error for entries that are invalid themselves.
        if not parts and info.field_name != "backends":
            raise ValueError("must have at least one entry")
        # The key is absent if it is invalid itself.
        if not parts and info.data.get("missing_backend", ...) is None:
            raise ValueError("must have at least one entry, unless missing_backend names the one it needs")
        return parts

    @field_validator("memory")
    @classmethod
    def _enough_memory(cls, memory: tuple[Memory, ...], info: ValidationInfo) -> tuple[Memory, ...]:
        _refuse_repeats(part.name for part in memory)
        if "class_" in info.data:  # absent if it is invalid itself
            device_class: DeviceClass = info.data["class_"]
            kinds = {part.kind for part in memory}
            needed = (WORKING_KIND[device_class], STORAGE_KIND.get(device_class))
            missing = [kind for kind in needed if kind and kind not in kinds]
            if missing:
                raise ValueError(
                    f"a device of class {device_class} needs {' and '.join(missing)} memory; add it"
                )
        return memory

    @field_validator("cpu")
    @classmethod
    def _distinct_cores(cls, cpu: tuple[Core, ...]) -> tuple[Core, ...]:
        _refuse_repeats(part.core for part in cpu)
        return cpu

    @property
    def working_memory(self) -> Memory:
        """The device's memory that holds a model's heap and arenas.

        Except on a microcontroller, it also holds the mapped weights.
        """
        return next(part for part in self.memory if part.kind == WORKING_KIND[self.class_])

    @property
    def storage_memory(self) -> Memory | None:
        """The memory in which a microcontroller keeps the model file and its weights; None for other
        devices.
        """
        return next((part for part in self.memory if part.kind == STORAGE_KIND.get(self.class_)), None)

    @property
    def targets(self) -> tuple[str, ...]:
        """The values of a recipe's `target` that this device supports: NPUs, then Cortex-M cores."""
        npus = self.npu_targets.value if self.npu_targets else ()
        return (*npus, *dict.fromkeys(core.target for core in self.cpu if core.target))

    def facts(self) -> dict[str, Fact[Any]]:
        """Map the path of each fact of the file, such as `soc` or `memory.LPDDR4X.usable`, to the fact."""
        facts: dict[str, Fact[Any]] = {"soc": self.soc}
        for memory in self.memory:
            facts |= memory.facts()
        for core in self.cpu:
            facts |= core.facts()
        optional = {name: getattr(self, name) for name in ("npu", "npu_targets", "missing_backend")}
        return facts | {name: fact for name, fact in optional.items() if fact}

    @property
    def budgets(self) -> list[Memory]:
        """The memories whose budgets a model must fit: working memory, then storage if it has a budget."""
        return [memory for memory in (self.working_memory, self.storage_memory) if memory]

    def to_json(self) -> dict[str, Any]:
        """The content of the device file, with sizes in bytes, and two more keys.

        `budgets` has the bytes that a model may use of each memory, and `unverified` the paths of unverified
        facts.
        """
        return {
            **self.model_dump(mode="json", by_alias=True),
            "budgets": [{"memory": memory.name, "bytes": memory.budget_bytes} for memory in self.budgets],
            "unverified": list(self.unverified_facts()),
        }

    def unverified_facts(self) -> dict[str, Fact[Any]]:
        """The facts that nobody has compared with their source, by path (see `facts`)."""
        return {path: fact for path, fact in self.facts().items() if not fact.verified}


def _refuse_repeats(names: Iterable[str]) -> None:
    """Raise ValueError for a repeated name: names identify facts, so they must be unique."""
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(f"lists {', '.join(repeated)} more than once; names must be unique")
