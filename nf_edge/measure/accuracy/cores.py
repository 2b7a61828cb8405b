"""`nf-edge check --on`: compare a file's predictions on emulated cores with PyTorch's and this machine's."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Limits
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.check import AccuracyReport, remedy, report_of, require_checkable
from nf_edge.measure.accuracy.journal import Arrays, Journal
from nf_edge.measure.accuracy.local_difference import LocalDifference, compared_with_local
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.parts import Parts, Total, side_by_side
from nf_edge.measure.accuracy.predict import predict_both
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.measure.emulation import FAR, EmulatedCore, FirstDivergence, first_divergence, session_of
from nf_edge.measure.runner import LogitsSession, Request, command_for
from nf_edge.model import NoiseFormer
from nf_edge.model.data.rows import Row

# An emulated core takes up to a second for a row; small parts keep all workers busy until the end.
ROWS_IN_A_PART = 8


@dataclass(frozen=True)
class OnCore:
    """The predictions of a model file on a core.

    Attributes:
        core: the core.
        accuracy: the comparison with the checkpoint in PyTorch.
        local: the comparison with the same file's predictions on this machine.
        first_divergence: the first instruction with a difference.  None if rounding explains the difference,
            or if the runtime does not expose the outputs of its operators.
    """

    core: EmulatedCore
    accuracy: AccuracyReport
    local: LocalDifference
    first_divergence: FirstDivergence | None

    def to_json(self) -> dict[str, Any]:
        core, local = self.core, self.local
        return {
            "on": core.name,
            "emulated_as": core.cpu,
            "part": f"0x{core.part:03x}",
            "emulator": f"QEMU {core.emulator.version}",
            "note": core.note,
            **self.accuracy.to_json(),
            "here": {
                "questions": local.questions,
                "flips": local.flips,
                "largest_difference": number(local.off),
                "of_largest_logit": number(local.share),
                "begins": self.first_divergence.to_json() if self.first_divergence else None,
            },
        }


@dataclass(frozen=True)
class CoresReport(HtmlValue):
    """The accuracy of the same model file on several emulated cores."""

    cores: tuple[OnCore, ...]

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error; None if all cores pass."""
        return _failure_on(self.cores)

    @property
    def passed(self) -> bool:
        return self.failure is None

    @property
    def judged(self) -> bool:
        """Whether the gate judges the predictions: there is a limit, which applies to every core."""
        return all(each.accuracy.judged for each in self.cores)

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in self.cores]

    def with_lowered_again(self, lowered_again: SameFile) -> "CoresReport":
        """A copy of this report, which also fails if lowering the checkpoint again gave other files."""
        judged = [each.accuracy.with_lowered_again(lowered_again) for each in self.cores]
        return CoresReport(
            tuple(replace(each, accuracy=accuracy) for each, accuracy in zip(self.cores, judged, strict=True))
        )


def check_on(
    cores: Sequence[EmulatedCore],
    runnable: Runnable,
    model: NoiseFormer,
    rows: PairedRows,
    limits: Limits,
    progress: Progress = silent,
    journal: Journal | None = None,
) -> CoresReport:
    """Compare a file's predictions on each core with the predictions of the checkpoint and of this machine.

    There are as many emulated processes as this machine has CPUs, and each runs a part of the rows.  A
    decoder reads the first half of a row in one call and the other tokens one by one.  So the kernels for
    prompts and the kernels for single tokens both run.

    Args:
        model: the checkpoint's network.
        journal: the parts that an interrupted check finished; None: nothing is read or saved.

    Raises:
        BadInput: as in `check`, or the runtime cannot load the file.
        MissingTool: the runner cannot be built, for this machine or for the cores.
        NfEdgeError: a process crashed.
    """
    require_checkable(model.config, rows, limits)
    rows.artifact.require_at_most(runnable.input_shape.length)
    count, task, shape = len(rows.reference.rows), model.config.task, runnable.input_shape
    total = Total(progress, "running on emulated cores", len(cores) * count)
    size = 1 if model.config.is_language_model else ROWS_IN_A_PART
    parts = {core: Parts(count, size, f"core {at}", journal, total) for at, core in enumerate(cores)}
    commands = {core: core.command(runnable) for core in cores}
    local_command = command_for(runnable, 1)

    def work(core: EmulatedCore) -> None:
        with ExitStack() as stack:
            remote, local = (
                session_of(stack.enter_context(LogitsSession(command, runnable.file)), shape)
                for command in (commands[core], local_command)
            )

            def predict(part: slice, progress: Progress) -> Arrays:
                difference = LocalDifference(task=task)
                session = compared_with_local(remote, local, difference)
                predictions = predict_both(
                    model, session, shape, rows.part(part), progress, prompts=True, first=part.start
                )
                return {**predictions.to_arrays(), "difference": difference.to_array()}

            parts[core].work(predict)

    workers = -(-allowed_cpus() // len(cores))
    side_by_side([partial(work, core) for core in cores for _ in range(min(workers, len(parts[core])))])
    return CoresReport(tuple(_on_core(core, runnable, model, parts[core], rows, limits) for core in cores))


def _on_core(
    core: EmulatedCore,
    runnable: Runnable,
    model: NoiseFormer,
    parts: Parts,
    rows: PairedRows,
    limits: Limits,
) -> OnCore:
    """Compare the predictions on a core with PyTorch's and this machine's.

    Args:
        parts: the predictions on the core, for all rows.
    """
    difference = LocalDifference(task=model.config.task)
    for arrays in parts.finished:
        difference.add(LocalDifference.from_array(arrays["difference"]))
    report = report_of(parts.predictions, model.config, rows.reference, limits)
    divergence = None
    if difference.share > FAR and runnable.backend.traces:
        divergence = first_divergence(
            core, runnable, _largest_request(rows.artifact.rows, runnable.input_shape)
        )
    return OnCore(core, report, difference, divergence)


def _largest_request(rows: Sequence[Row], input_shape: InputShape) -> Request:
    """The longest row as a request to the runner: its token ids and its mask.

    For a model with a cache, the start position 0 replaces the mask.
    """
    ids = max((row.input_ids for row in rows), key=len)
    if input_shape.cached:
        return ids, [0]
    padding = 0 if input_shape.dynamic_length else input_shape.length - len(ids)
    return [*ids, *[0] * padding], [1] * len(ids) + [0] * padding


def _failure_on(reports: Sequence[OnCore]) -> AccuracyGate | None:
    """The accuracy gate's error, naming the cores that fail; None if all pass."""
    failed = [report for report in reports if not report.accuracy.passed]
    if not failed:
        return None
    lines = [f"on {report.core.name} {report.accuracy.problem}" for report in failed]
    lowered_again = failed[0].accuracy.lowered_again
    if any(report.local.flips for report in failed) and not (lowered_again and lowered_again.problem):
        fix = (
            "the core gives other answers than this machine; use a recipe of another backend (nf-edge "
            "recipes list)"
        )
    else:
        fix = remedy(failed[0].accuracy)
    return AccuracyGate("; ".join(lines), fix=fix)
