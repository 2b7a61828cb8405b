"""Manifest entries about modules, operators and an accelerator; reports print them."""

from typing import Annotated, NotRequired

from pydantic import AfterValidator, ConfigDict, Field, with_config
from typing_extensions import TypedDict  # pydantic accepts Python's own TypedDict only from Python 3.12

from nf_edge.core.figures import Figure, How, Unit
from nf_edge.core.memory_outcome import Outcome

STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
# A report has more keys for readers; the types have the keys that later commands read.
OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]


@with_config(STRICT)
class FigureFields(TypedDict):
    """A `Figure` in a manifest: its value with unit, origin (such as `measured`) and note."""

    value: int | float | None
    unit: Unit
    how: How
    note: str


def _a_figure(fields: FigureFields) -> FigureFields:
    Figure(**fields)
    return fields


FigureEntry = Annotated[FigureFields, AfterValidator(_a_figure)]


@with_config(STRICT)
class ModuleEntry(TypedDict):
    """The precision of a module, of attention or of the cache.

    Manifests of earlier versions have no signal-to-noise ratios.
    """

    module: str
    dtype: str
    reason: str
    weights_snr: NotRequired[FigureEntry | None]
    output_snr: NotRequired[FigureEntry | None]


@with_config(STRICT)
class LeftEntry(TypedDict):
    """The operators of one kind, such as softmax, that the accelerated library leaves to other kernels."""

    operator: str
    count: Count
    reason: str
    macs: NotRequired[Count]
    fix: NotRequired[str]


@with_config(STRICT)
class CoverageFields(TypedDict):
    """The share of a program that the accelerated library executes.

    Manifests of earlier versions have numbers of operators, but not of multiply-accumulates.
    """

    library: str
    delegated: Count
    total: Count
    left: list[LeftEntry]
    macs: NotRequired[Count]
    total_macs: NotRequired[Count]
    length: NotRequired[Count]


def _counted(fields: CoverageFields) -> CoverageFields:
    """Check that the figures of the fields agree; return the fields unchanged.

    Raises:
        ValueError: a total is not the sum of its parts, or only some entries have multiply-accumulates.
    """
    counted = {key in fields for key in ("macs", "total_macs", "length")}
    counted |= {"macs" in entry for entry in fields["left"]}
    if len(counted) > 1:
        raise ValueError("macs must be given for all operators, or for none")
    left = fields["left"]
    if fields["total"] != fields["delegated"] + sum(entry["count"] for entry in left):
        raise ValueError("total must be the sum of delegated and left operators")
    if "macs" in fields and fields["total_macs"] != fields["macs"] + sum(entry["macs"] for entry in left):
        raise ValueError("total_macs must be the sum of delegated and left multiply-accumulates")
    return fields


CoverageEntry = Annotated[CoverageFields, AfterValidator(_counted)]


@with_config(STRICT)
class KindEntry(TypedDict):
    """Operators of one kind on an accelerator: their number, cycles, and share of all cycles."""

    operator: str
    count: Count
    cycles: Count
    share: float


@with_config(STRICT)
class AcceleratorEntry(TypedDict):
    """A compiler's estimates of memory, cycles and time of the part that runs on the accelerator."""

    source: str
    sram: FigureEntry
    flash: FigureEntry
    cycles: FigureEntry
    time: FigureEntry
    kinds: list[KindEntry]


@with_config(STRICT)
class WorkKindEntry(TypedDict):
    """Operators of one name: their number, instructions in one run, share of all, and how to reduce them."""

    operator: str
    count: Count
    instructions: Count
    share: float
    advice: str


@with_config(STRICT)
class WorkEntry(TypedDict):
    """The estimated instructions of one run, by operator, the most first."""

    source: str
    instructions: Count
    kinds: list[WorkKindEntry]


@with_config(STRICT)
class PartEntry(TypedDict):
    """One part of the memory: predicted before lowering, planned in the file, and measured."""

    name: str
    predicted: FigureEntry
    planned: FigureEntry
    measured: FigureEntry


@with_config(OPEN)
class ParityEntry(TypedDict):
    """Whether the artifact's logits are close enough to PyTorch's."""

    passed: Flag


@with_config(OPEN)
class VerdictEntry(TypedDict):
    """Whether the artifact fits the device's memory."""

    outcome: Outcome


@with_config(OPEN)
class ArenaEntry(TypedDict):
    """The use of the arena while the program runs, in bytes.

    `peak` has the operator with the most bytes in use, its tensors, and the layers at the peak. `layers` has
    the most bytes in use by layer. `nf-edge profile --json` also lists the bytes in use by operator.
    """

    how: How
    bytes: Count
    padding: Count


@with_config(OPEN)
class LayoutEntry(TypedDict):
    """The layout of the model file; if `arena` is null, `arena_unknown` has the reason."""

    arena: ArenaEntry | None
    arena_unknown: str
    weights_by_layer: dict[str, Count]


@with_config(OPEN)
class MemoryEntry(TypedDict):
    """The memory of the file, of the process and of a firmware; `verdict` is null if no device was given."""

    file: list[PartEntry]
    process: list[PartEntry]
    firmware: NotRequired[list[PartEntry]]
    layout: NotRequired[LayoutEntry | None]
    verdict: VerdictEntry | None


@with_config(OPEN)
class AccuracyEntry(TypedDict):
    """Whether the artifact's answers on the given rows pass the accuracy gate."""

    passed: Flag


@with_config(STRICT)
class Reports(TypedDict):
    """Measurements of the export; `accuracy` is null if no rows were given.

    `parity`, `memory` and `accuracy` have more keys, which later commands do not read.
    """

    parity: ParityEntry
    memory: MemoryEntry
    accuracy: AccuracyEntry | None
    accelerator: NotRequired[AcceleratorEntry | None]
    work: NotRequired[WorkEntry]
