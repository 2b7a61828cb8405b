"""`check --on`: what an artifact's file answers on other cores, beside PyTorch and beside this machine."""

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from nf_edge.backends.base import Backend, Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core import processes
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import Shown
from nf_edge.core.progress import Progress, silent
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.check import AccuracyReport, remedy, report_of, require_questions
from nf_edge.measure.accuracy.predictions import (
    NOTHING,
    PairedPredictions,
    Predictions,
    predict_both,
    predicted,
)
from nf_edge.measure.emulation import FAR, Beginning, EmulatedCore, asked, beginning
from nf_edge.measure.runner import AskedProcess, Request, native_command
from nf_edge.model import Decoder, NoiseFormer
from nf_edge.model.data.rows import Row, Rows


@dataclass
class Difference:
    """How far the answers of a core are from those of the same file on this machine.

    Attributes:
        questions, flips: answers, and those whose largest logit is another's, or that are not finite.
        off: the largest difference of a logit.
        largest: the largest logit here, by its size.
    """

    questions: int = 0
    flips: int = 0
    off: float = 0.0
    largest: float = 0.0

    def note(self, there: np.ndarray, here: np.ndarray) -> None:
        """Logits [..., C] of the same questions."""
        found = predicted(there)
        flipped = (found != predicted(here)) | (found == NOTHING)
        self.add(Difference(flipped.size, int(flipped.sum()), _most(there - here), _most(here)))

    def add(self, other: "Difference") -> None:
        self.questions += other.questions
        self.flips += other.flips
        self.off, self.largest = max(self.off, other.off), max(self.largest, other.largest)

    @property
    def share(self) -> float:
        """The largest difference as a share of the largest logit; infinite where that is 0, or a logit is not
        finite."""
        if not self.off:
            return 0.0
        return self.off / self.largest if math.isfinite(self.off) and self.largest else math.inf


def _most(logits: np.ndarray) -> float:
    """The largest by its size; infinite where one is not a number, which max() would pass over."""
    largest = float(np.abs(logits).max(initial=0.0))
    return math.inf if math.isnan(largest) else largest


@dataclass(frozen=True)
class OnCore:
    """What a core answered.

    Attributes:
        accuracy: beside the checkpoint in PyTorch.
        here: beside the same file on this machine.
        begins: where in the program that difference begins, where it is more than rounding makes and the
            runtime tells what its operators give.
    """

    core: EmulatedCore
    accuracy: AccuracyReport
    here: Difference
    begins: Beginning | None

    def to_json(self) -> dict[str, Any]:
        core, here = self.core, self.here
        return {
            "on": core.name,
            "emulated_as": core.cpu,
            "part": f"0x{core.part:03x}",
            "emulator": f"QEMU {core.emulator.version}",
            "note": core.note,
            **self.accuracy.to_json(),
            "here": {
                "questions": here.questions,
                "flips": here.flips,
                "largest_difference": number(here.off),
                "of_largest_logit": number(here.share),
                "begins": self.begins.to_json() if self.begins else None,
            },
        }


@dataclass(frozen=True)
class CoresReport(Shown):
    """What the same file answers on several cores."""

    cores: tuple[OnCore, ...]

    @property
    def failure(self) -> AccuracyGate | None:
        """What the gate says where it is not passed on one of them."""
        return _failure_on(self.cores)

    @property
    def passed(self) -> bool:
        return self.failure is None

    def to_json(self) -> list[dict[str, Any]]:
        return [each.to_json() for each in self.cores]


def check_on(
    cores: Sequence[EmulatedCore],
    backend: Backend,
    model_file: Path,
    model: NoiseFormer,
    input_shape: InputShape,
    rows: Rows,
    max_drop: float | None,
    progress: Progress = silent,
    *,
    own: Rows | None = None,
) -> CoresReport:
    """Ask the checkpoint's network, the file on this machine and the file on every core the same questions.

    As many emulated processes run at once as this machine has CPUs; each takes its share of the rows.  A
    decoder is fed half of a row at once, so that both kinds of its kernels are asked.

    Args:
        own: the same rows in the artifact's tokens, where those are others than the checkpoint's.

    Raises:
        BadInput: as `check` does, or the runtime refuses the file.
        MissingTool: the runner cannot be built, for this machine or for the others.
        NfEdgeError: a process crashed.
    """
    require_questions(model.config, rows, own)
    commands = {core: core.command(backend, model_file) for core in cores}
    here = native_command(backend.runtime, model_file, 1, backend.operators_file())
    workers = allowed_cpus()
    shards = _shards(len(rows.rows), -(-workers // len(cores)))
    told = _Total(progress, len(cores) * len(rows.rows))

    def ask(core: EmulatedCore, shard: slice) -> tuple[PairedPredictions, Difference]:
        with ExitStack() as stack:
            found = Difference()
            there, at_home = (
                asked(stack.enter_context(AskedProcess(command, model_file)), input_shape)
                for command in (commands[core], here)
            )
            beside = _beside(there, at_home, found)
            part, own_part = rows.rows[shard], (own or rows).rows[shard]
            return (
                predict_both(
                    model,
                    beside,
                    input_shape,
                    part,
                    own_part,
                    told.of_a_part(),
                    prompts=True,
                    source=rows.source,
                    first=shard.start,
                ),
                found,
            )

    with processes.pool(workers) as pool:
        waiting = {core: [pool.submit(ask, core, shard) for shard in shards] for core in cores}
        reports = []
        for core, futures in waiting.items():
            parts = [future.result() for future in futures]
            difference = Difference()
            for _, found in parts:
                difference.add(found)
            report = report_of(
                _joined([answered for answered, _ in parts], shards), model.config, rows, max_drop
            )
            begins = None
            if difference.share > FAR and backend.runtime == "executorch":
                begins = beginning(
                    core, backend, model_file, _largest_request((own or rows).rows, input_shape)
                )
            reports.append(OnCore(core, report, difference, begins))
    return CoresReport(tuple(reports))


def _largest_request(rows: Sequence[Row], input_shape: InputShape) -> Request:
    """The longest row as one run."""
    ids = max((row.input_ids for row in rows), key=len)
    if input_shape.cached:
        return ids, [0]
    padding = 0 if input_shape.dynamic_length else input_shape.length - len(ids)
    return [*ids, *[0] * padding], [1] * len(ids) + [0] * padding


def _shards(count: int, parts: int) -> list[slice]:
    """All of `count` rows, in at most so many runs of nearly the same length."""
    edges = np.linspace(0, count, min(parts, count) + 1).astype(int).tolist()
    return [slice(low, high) for low, high in pairwise(edges)]


def _joined(parts: Sequence[PairedPredictions], shards: Sequence[slice]) -> PairedPredictions:
    moved = [replace(part, row=part.row + shard.start) for part, shard in zip(parts, shards, strict=True)]

    def both(name: str) -> Predictions:
        sides = [getattr(part, name) for part in moved]
        return Predictions(
            *(np.concatenate([getattr(s, field) for s in sides]) for field in ("predicted", "loss"))
        )

    row, truth, kl = (
        np.concatenate([getattr(part, name) for part in moved]) for name in ("row", "truth", "kl")
    )
    return PairedPredictions(row, truth, both("reference"), both("artifact"), kl)


def _beside(there: Session | Decoder, here: Session | Decoder, found: Difference) -> Session | Decoder:
    """What asks both, answers for the one that is there, and notes how far apart they are."""
    if isinstance(there, Decoder):
        assert isinstance(here, Decoder)
        return _BesideDecoder(there, here, found)
    assert not isinstance(here, Decoder)
    return _BesideSession(there, here, found)


class _BesideSession:
    def __init__(self, there: Session, here: Session, found: Difference) -> None:
        self._there, self._here, self._found = there, here, found

    def run(self, input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        there, here = (session.run(input_ids, attention_mask) for session in (self._there, self._here))
        # A classifier answers once a row, a language model once a token that is not padding.
        told = (logits[attention_mask > 0] if logits.ndim == 3 else logits for logits in (there, here))
        self._found.note(*told)
        return there


class _BesideDecoder(Decoder):
    def __init__(self, there: Decoder, here: Decoder, found: Difference) -> None:
        super().__init__(there.capacity)
        self._there, self._here, self._found = there, here, found

    def _feed(self, tokens: np.ndarray, start: int) -> np.ndarray:
        there, here = (decoder.feed(tokens.tolist(), start) for decoder in (self._there, self._here))
        self._found.note(there, here)
        return there


class _Total:
    """Progress of parts that go on side by side, as one."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done, self._lock = progress, total, 0, Lock()

    def of_a_part(self) -> Progress:
        before = 0

        def call(step: str, done: int, total: int) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                self._progress("running emulated cores", self._done, self._total)

        return call


def _failure_on(reports: Sequence[OnCore]) -> AccuracyGate | None:
    """What the gate says where a report of one of the cores does not pass."""
    failed = [report for report in reports if not report.accuracy.passed]
    if failed:
        lines = [f"on {report.core.name} {report.accuracy.problem}" for report in failed]
        only_there = any(report.here.flips for report in failed)
        return AccuracyGate(
            "; ".join(lines),
            fix="this machine answers otherwise, by the same file: another recipe takes other kernels"
            if only_there
            else remedy(failed[0].accuracy),
        )
    return None
