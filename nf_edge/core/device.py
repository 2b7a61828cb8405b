"""Devices that run models.  A YAML file describes each device, and every fact in it has a source.

A fact is a value, its source, and whether somebody checked the value in that source:

    size: {value: 512 MiB, source: "https://…", verified: true}

All three keys are required.  `verified: false` marks an assumption, or a figure that sources disagree on;
`source` then gives the reasoning.  A verdict that depends on an unverified fact says so.
"""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from nf_edge.core import resources
from nf_edge.core import yaml_schema as yaml_file
from nf_edge.core.yaml_schema import Closed

DeviceClass = Literal["phone", "sbc", "mcu"]
MemoryKind = Literal["dram", "sram", "flash"]
# Instruction sets by the names of Arm's compilers (Linux calls `neon` asimd).
Isa = Literal["neon", "dotprod", "fp16", "i8mm", "bf16", "sve", "sve2", "sme", "mve", "dsp", "fpu"]

# The kind of memory that holds heap, arenas and mapped weights, and the kind that holds the model file. A
# microcontroller keeps the weights in flash. The file system of a phone or a board is large, so it has no
# budget.
WORKING_KIND: dict[DeviceClass, MemoryKind] = {"phone": "dram", "sbc": "dram", "mcu": "sram"}
STORAGE_KIND: dict[DeviceClass, MemoryKind] = {"mcu": "flash"}

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_size(text: object) -> int:
    """The number of bytes in a size such as `512 MiB` (MiB: 2²⁰ bytes) or `8 GB` (GB: 10⁹ bytes).

    Raises:
        ValueError: the text is not a whole number, a space and one of `UNITS`.  A number without a unit is
            refused, because it is ambiguous.
    """
    match = re.fullmatch(rf"([0-9]{{1,40}}) ({'|'.join(UNITS)})", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            "must be a whole number, a space and a unit, such as 512 MiB; "
            "the units are B, kB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024)"
        )
    return int(match[1]) * UNITS[match[2]]


def format_size(count: int) -> str:
    """A number of bytes as exact text, such as `512 MiB`.

    The unit is the one that gives the smallest whole number.
    """
    number, unit = min((count // size, unit) for unit, size in UNITS.items() if count % size == 0)
    return f"{number} {unit}"


Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
# The bounds refuse typing errors: with an absurdly large memory every model would fit.
Size = Annotated[int, Field(gt=0, lt=2**63), BeforeValidator(parse_size, json_schema_input_type=str)]
Count = Annotated[int, Field(gt=0, lt=2**31, strict=True)]
BackendName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Value = TypeVar("Value")


class Fact(Closed, Generic[Value]):
    """A value, its source (a URL, or the reasoning of an assumption), and whether the source was checked."""

    value: Value
    source: Text
    verified: StrictBool

    @model_validator(mode="before")
    @classmethod
    def _not_bare(cls, fact: object) -> object:
        if not isinstance(fact, dict | cls):
            raise ValueError("a value needs its source; write {value: …, source: …, verified: …}")
        return fact


# Classes instead of aliases, so that the JSON schema has a name for each type.
class TextFact(Fact[Text]):
    """A text and its source."""


class SizeFact(Fact[Size]):
    """A size in bytes, written with a unit such as `512 MiB`, and its source."""


class CountFact(Fact[Count]):
    """A positive whole number and its source."""


class NamesFact(Fact[tuple[Text, ...]]):
    """A list of names and its source."""


class IsaFact(Fact[tuple[Isa, ...]]):
    """The instruction sets of a core and their source."""


class Memory(Closed):
    """One memory of a device.

    size     physical size, bytes
    usable   bytes that one process, or one firmware image, may use
    reserve  bytes that this process needs in addition to the model (code, stack, heap)
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


class Core(Closed):
    """A cluster of equal CPU cores: their number, highest clock in MHz, and usable instruction sets."""

    core: Text
    count: CountFact
    mhz: CountFact
    isa: IsaFact

    @property
    def target(self) -> str | None:
        """The `target` that a recipe names for this Cortex-M core, such as `cortex-m-mve`; None for any other
        core, and for a Cortex-M core without vector instructions.
        """
        vector_isas = [isa for isa in ("mve", "dsp") if isa in self.isa.value]
        return f"cortex-m-{vector_isas[0]}" if vector_isas and self.core.startswith("Cortex-M") else None

    def facts(self) -> dict[str, Fact[Any]]:
        """Map the path of each fact, `cpu.CORE.KEY`, to the fact."""
        facts: dict[str, Fact[Any]] = {"count": self.count, "mhz": self.mhz, "isa": self.isa}
        return {f"cpu.{self.core}.{key}": fact for key, fact in facts.items()}


class Device(Closed):
    """The content of a device file.

    A model uses the first memory of each `kind`.  `backends` are in order of preference.  `npu_targets` are
    the compiler's names of the NPUs; recipes use them as `target`.  The target of a Cortex-M core follows
    from its vector instructions.
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
    backends: tuple[BackendName, ...]

    @field_validator("id")
    @classmethod
    def _named_after_its_file(cls, id: str, info: ValidationInfo) -> str:
        if info.context and id != info.context["path"].stem:
            raise ValueError(f"must be the file's name without .yaml, {info.context['path'].stem!r}")
        return id

    @field_validator("memory", "cpu", "backends")
    @classmethod
    def _at_least_one(cls, parts: tuple[Any, ...]) -> tuple[Any, ...]:
        # `min_length` would report a second error for entries that are invalid themselves.
        if not parts:
            raise ValueError("must have at least one entry")
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
        """The memory that holds a model's heap and arenas and, on a phone or a board, the mapped weights."""
        return next(part for part in self.memory if part.kind == WORKING_KIND[self.class_])

    @property
    def storage_memory(self) -> Memory | None:
        """The memory in which a microcontroller keeps the model file and its weights; None for a phone or a
        board.
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
        npu = {"npu": self.npu, "npu_targets": self.npu_targets}
        return facts | {name: fact for name, fact in npu.items() if fact}

    @property
    def budgets(self) -> list[Memory]:
        """The memories whose budgets a model must fit: working memory, then storage if it has a budget."""
        return [memory for memory in (self.working_memory, self.storage_memory) if memory]

    def to_json(self) -> dict[str, Any]:
        """The content of the file with sizes in bytes, its budgets, and the paths of its unverified facts."""
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


def load_device(name_or_path: str) -> Device:
    """Load a bundled device by its id, or a device file by its path.

    Raises:
        BadInput: there is no such device, or the file violates the schema.  The message lists all errors,
            each with its line.
    """
    return yaml_file.load(resources.resolve("devices", name_or_path), Device)


def bundled_devices() -> list[Device]:
    """The devices that ship with the package, sorted by id."""
    return [load_device(name) for name in resources.names("devices")]
