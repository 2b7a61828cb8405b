"""`nf-edge check --on`: compare a file's predictions on emulated cores with PyTorch's and this machine's."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import Any

import numpy as np

from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core import processes
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Limits
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.check import AccuracyReport, remedy, report_of, require_checkable
from nf_edge.measure.accuracy.local_difference import LocalDifference, compared_with_local
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions, predict_both
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.measure.emulation import FAR, EmulatedCore, FirstDivergence, first_divergence, session_of
from nf_edge.measure.runner import LogitsSession, Request, command_for
from nf_edge.model import NoiseFormer
from nf_edge.model.data.rows import Row


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
    """The predictions of the same file on several cores."""

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
        """Whether there is a limit, which applies to every core."""
        return all(each.accuracy.judged for each in self.cores)

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in self.cores]

    def with_lowered_again(self, lowered_again: SameFile) -> "CoresReport":
        """This report, judged by the result of a second lowering too."""
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
) -> CoresReport:
    """Compare a file's predictions on each core with the predictions of the checkpoint and of this machine.

    There are as many emulated processes as this machine has CPUs, and each runs a part of the rows.  A
    decoder reads the first half of a row in one call and the other tokens one by one.  So the kernels for
    prompts and the kernels for single tokens both run.

    Args:
        model: the checkpoint's network.

    Raises:
        BadInput: as in `check`, or the runtime cannot load the file.
        MissingTool: the runner cannot be built, for this machine or for the cores.
        NfEdgeError: a process crashed.
    """
    require_checkable(model.config, rows, limits)
    commands = {core: core.command(runnable) for core in cores}
    local_command = command_for(runnable, 1)
    workers = allowed_cpus()
    shards = _shards(len(rows.reference.rows), -(-workers // len(cores)))
    total = _Total(progress, len(cores) * len(rows.reference.rows))

    def run(core: EmulatedCore, shard: slice) -> tuple[PairedPredictions, LocalDifference]:
        with ExitStack() as stack:
            difference = LocalDifference(task=model.config.task)
            remote, local = (
                session_of(stack.enter_context(LogitsSession(command, runnable.file)), runnable.input_shape)
                for command in (commands[core], local_command)
            )
            predictions = predict_both(
                model,
                compared_with_local(remote, local, difference),
                runnable.input_shape,
                rows.part(shard),
                total.of_a_part(),
                prompts=True,
                first=shard.start,
            )
            return predictions, difference

    with processes.pool(workers) as pool:
        waiting = {core: [pool.submit(run, core, shard) for shard in shards] for core in cores}
        reports = []
        for core, futures in waiting.items():
            parts = [future.result() for future in futures]
            difference = LocalDifference(task=model.config.task)
            for _, part in parts:
                difference.add(part)
            predictions = _joined([predictions for predictions, _ in parts], shards)
            report = report_of(predictions, model.config, rows.reference, limits)
            divergence = None
            if difference.share > FAR and runnable.backend.traces:
                request = _largest_request(rows.artifact.rows, runnable.input_shape)
                divergence = first_divergence(core, runnable, request)
            reports.append(OnCore(core, report, difference, divergence))
    return CoresReport(tuple(reports))


def _largest_request(rows: Sequence[Row], input_shape: InputShape) -> Request:
    """Make a request from the longest row."""
    ids = max((row.input_ids for row in rows), key=len)
    if input_shape.cached:
        return ids, [0]
    padding = 0 if input_shape.dynamic_length else input_shape.length - len(ids)
    return [*ids, *[0] * padding], [1] * len(ids) + [0] * padding


def _shards(count: int, parts: int) -> list[slice]:
    """Split `count` rows into at most `parts` slices of nearly equal length."""
    edges = np.linspace(0, count, min(parts, count) + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(edges)]


def _joined(parts: Sequence[PairedPredictions], shards: Sequence[slice]) -> PairedPredictions:
    """Join the predictions of all parts; each row's index becomes the index in the complete data."""
    moved = [replace(part, row=part.row + shard.start) for part, shard in zip(parts, shards, strict=True)]
    return PairedPredictions.joined(moved)


class _Total:
    """One progress bar for parts that run in parallel."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, 0, Lock()

    def of_a_part(self) -> Progress:
        before = 0

        def call(step: str, done: int, total: int) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                self._progress("running on emulated cores", self._done, self._total)

        return call


def _failure_on(reports: Sequence[OnCore]) -> AccuracyGate | None:
    """The accuracy gate's error, naming the cores that fail; None if all pass."""
    failed = [report for report in reports if not report.accuracy.passed]
    if not failed:
        return None
    lines = [f"on {report.core.name} {report.accuracy.problem}" for report in failed]
    lowered_again = failed[0].accuracy.lowered_again
    if any(report.local.flips for report in failed) and not (lowered_again and lowered_again.problem):
        fix = (
            "the file predicts differently on this machine than on the core; use a recipe with other kernels"
        )
    else:
        fix = remedy(failed[0].accuracy)
    return AccuracyGate("; ".join(lines), fix=fix)
