"""The memory report: three accounts of the same parts, and the verdict."""

from dataclasses import dataclass
from typing import Any

from nf_edge.backends.file_layout import FileLayout
from nf_edge.backends.input_shape import KV_CACHE, InputShape
from nf_edge.core.device import Device
from nf_edge.core.device.processor import Processor
from nf_edge.core.errors import OverBudget
from nf_edge.core.figures import Figure
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.accounts import COUNTED, FILE_PARTS, KINDS, PROCESS_PARTS, Account
from nf_edge.measure.memory.context import ContextMemory
from nf_edge.measure.memory.spread import Repeats
from nf_edge.measure.memory.verdict import Verdict, judge

HOWS = ("predicted", "planned", "measured")


@dataclass(frozen=True)
class MemoryPart:
    """One part of the memory: its predicted, planned and measured bytes."""

    name: str
    predicted: Figure
    planned: Figure
    measured: Figure

    def figures(self) -> dict[str, Figure]:
        return dict(zip(HOWS, (self.predicted, self.planned, self.measured), strict=True))

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name} | {how: figure.to_json() for how, figure in self.figures().items()}


@dataclass(frozen=True)
class MemoryReport(HtmlValue):
    """Memory of the file, memory of the running process, and the verdict for a device.

    Attributes:
        file: the parts of the model file.
        file_total: the size of the model file.
        firmware: the parts of a microcontroller's flash and SRAM, with totals; empty for other backends.
        process: the parts of the process while the loaded model runs, with a context of `tokens` tokens
            in each of `batch` rows.
        steady: the bytes of the process in that state.
        load_peak: the bytes of the process at the peak of loading.
        process_total: the larger of both.
        kinds: `steady` by kind of page: private, mapped from the model file, and shareable between processes.
        machine: the machine of the measurement; "" if nothing was measured.
        repeats: the spread of repeated measurements; None if nothing was measured repeatedly.
        notes: remarks about the figures.
        tokens: tokens in the context that the figures of the process are for.
        batch: rows in one run that the figures of the process are for.
        longest: tokens of the longest context.
        contexts: the predicted memory of a language model at other contexts; empty without a cache.
        processor: the processor that the predicted figures are for.
        verdict: the comparison with a device's memory; None without a device.
        layout: the use of the file's arena, and its weights by layer; None before there is an artifact.
    """

    file: tuple[MemoryPart, ...]
    file_total: MemoryPart
    process: tuple[MemoryPart, ...]
    steady: MemoryPart
    load_peak: MemoryPart
    process_total: MemoryPart
    firmware: tuple[MemoryPart, ...]
    kinds: tuple[MemoryPart, ...]
    machine: str
    repeats: Repeats | None
    notes: tuple[str, ...]
    tokens: int
    batch: int
    longest: int
    contexts: tuple[ContextMemory, ...]
    processor: str
    verdict: Verdict | None
    layout: FileLayout | None = None

    @classmethod
    def of(
        cls,
        accounts: list[Account],
        recipe: Recipe,
        input_shape: InputShape,
        device: Device | None,
        notes: tuple[str, ...],
        run: InputShape,
        contexts: tuple[ContextMemory, ...],
        processor: Processor,
        machine: str = "",
        repeats: Repeats | None = None,
        layout: FileLayout | None = None,
    ) -> "MemoryReport":
        """The report of three accounts, in the order predicted, planned, measured.

        For the other arguments, see the attributes of the report; without `device` it has no verdict.

        Args:
            run: the input shape of the largest run.
        """
        parts = [name for name in PROCESS_PARTS if input_shape.cached or name != KV_CACHE]
        return cls(
            file=tuple(MemoryPart(name, *(each.file[name] for each in accounts)) for name in FILE_PARTS),
            file_total=MemoryPart("file", *(each.file_total for each in accounts)),
            process=tuple(MemoryPart(name, *(each.process[name] for each in accounts)) for name in parts),
            steady=MemoryPart("steady state", *(each.steady for each in accounts)),
            load_peak=MemoryPart("load peak", *(each.load_peak for each in accounts)),
            process_total=MemoryPart("process", *(each.process_total for each in accounts)),
            firmware=_firmware(accounts),
            kinds=tuple(MemoryPart(name, *(each.kinds[name] for each in accounts)) for name in KINDS),
            machine=machine,
            repeats=repeats,
            notes=notes,
            tokens=run.length,
            batch=run.rows,
            longest=input_shape.length,
            contexts=contexts,
            processor=str(processor),
            verdict=judge(device, recipe, accounts) if device else None,
            layout=layout,
        )

    @property
    def failure(self) -> OverBudget | None:
        """The memory gate's error; None if the artifact passes, or without a device."""
        return self.verdict.failure if self.verdict else None

    @property
    def passed(self) -> bool:
        """Whether a device is given and the artifact's known memory fits it."""
        return self.verdict is not None and self.failure is None

    @property
    def hows(self) -> tuple[str, ...]:
        """The accounts that the report shows: only the predicted one before there is an artifact."""
        return HOWS if self.file_total.planned.value is not None else HOWS[:1]

    @property
    def emulated(self) -> bool:
        """Whether the measurement ran on an emulated core."""
        return any(line.measured.how == "emulated" for line in self.process)

    def to_json(self, *, operators: bool = True) -> dict[str, Any]:
        """The report as JSON.

        Args:
            operators: whether it has the use of the arena by operator, most of the text for a deep model.
        """
        return {
            "file": [line.to_json() for line in (*self.file, self.file_total)],
            "counted": [line.name for line in self.file if line.predicted.note == COUNTED],
            "process": [line.to_json() for line in (*self.process, self.process_total)],
            "firmware": [line.to_json() for line in self.firmware],
            "steady_state": self.steady.to_json(),
            "load_peak": self.load_peak.to_json(),
            "kinds": [kind.to_json() for kind in self.kinds],
            "machine": self.machine,
            "repeats": self.repeats.to_json() if self.repeats else None,
            "predicted_for": self.processor,
            "notes": list(self.notes),
            "tokens": self.tokens,
            "batch": self.batch,
            "longest_context": self.longest,
            "contexts": [each.to_json() for each in self.contexts],
            "verdict": self.verdict.to_json() if self.verdict else None,
            "layout": self.layout.to_json(operators=operators) if self.layout else None,
        }


def _firmware(accounts: list[Account]) -> tuple[MemoryPart, ...]:
    """The parts of a microcontroller's flash and SRAM, with totals; empty for a model of another device."""
    predicted, planned = (account.firmware.figures() if account.firmware else {} for account in accounts[:2])
    not_planned = Figure.unavailable("bytes", "there is no artifact yet")
    not_measured = Figure.unavailable("bytes", "only the device can measure it")
    return tuple(
        MemoryPart(name, figure, planned.get(name, not_planned), not_measured)
        for name, figure in predicted.items()
    )
