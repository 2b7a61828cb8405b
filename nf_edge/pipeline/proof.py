"""Check an artifact by running its file: logits, memory and accuracy."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from nf_edge.backends.base import Session
from nf_edge.backends.runnable import Runnable
from nf_edge.core.device import Device
from nf_edge.core.errors import AccuracyGate, OverBudget
from nf_edge.core.process_memory import trim_heap
from nf_edge.core.progress import Progress
from nf_edge.core.recipe.recipe import Limits
from nf_edge.measure.accuracy.check import AccuracyReport, check, require_checkable
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.parity import Parity, measure_parity, synthetic_rows
from nf_edge.measure.accuracy.predict import PROBED, require_finite
from nf_edge.measure.memory import MemoryReport
from nf_edge.measure.memory.profile import profile_model
from nf_edge.model import Checkpoint, Decoder, NoiseFormer
from nf_edge.model.data.rows import Rows
from nf_edge.pipeline.lowering import Job


@dataclass(frozen=True)
class Original:
    """The checkpoint that the exported checkpoint was pruned from.

    Attributes:
        rows: the rows to check accuracy on, in the original's tokens; None if both checkpoints have the same
            tokens.
    """

    checkpoint: Checkpoint
    rows: Rows | None


@dataclass(frozen=True)
class Proof:
    """The results of running an artifact.

    Attributes:
        accuracy: the comparison of answers on the given rows; None if no rows were given.
    """

    parity: Parity
    memory: MemoryReport
    accuracy: AccuracyReport | None

    @property
    def failure(self) -> OverBudget | AccuracyGate | None:
        """The error of the first failed gate; None if all gates pass."""
        accuracy = self.accuracy.failure if self.accuracy else None
        return self.parity.failure or self.memory.failure or accuracy

    def to_json(self) -> dict[str, Any]:
        return {
            "parity": self.parity.to_json(),
            "memory": self.memory.to_json(operators=False),
            "accuracy": self.accuracy.to_json() if self.accuracy else None,
        }


@dataclass(frozen=True)
class Examination:
    """The requirements for an artifact: the networks and rows that it is compared with, and the limits.

    Attributes:
        network: the checkpoint's network, whose logits the artifact must reproduce up to `max_logit_error`.
        logit_rows: rows that logits are compared on.
        max_logit_error: largest accepted difference of a logit from the checkpoint's; None: no limit.
        reference: the network to compare with the artifact in accuracy.
        accuracy_rows: the rows to check accuracy on; None: accuracy is not checked.
        limits: the limits on the answers.
        device: the device whose memory the artifact must fit; None: no verdict.
    """

    network: NoiseFormer
    logit_rows: Rows
    max_logit_error: float | None
    reference: NoiseFormer
    accuracy_rows: PairedRows | None
    limits: Limits
    device: Device | None

    @classmethod
    def of(
        cls,
        job: Job,
        rows: Rows | None,
        original: Original | None,
        limits: Limits | None,
        device: Device | None,
    ) -> "Examination":
        """The examination of a job's artifact; all inputs are checked before the lowering.

        Args:
            rows: rows to check accuracy on, in the checkpoint's tokens; None: accuracy is not checked.
            original: the checkpoint that accuracy is compared with; None: the job's checkpoint.
            limits: the limits on the answers; None: the recipe's.

        Raises:
            BadInput: the rows do not suit the model or the artifact, or logits of the checkpoint are not
                finite.
        """
        network, reference = job.checkpoint.reference(), original and original.checkpoint.reference()
        pairs = None
        if rows is not None:
            pairs = PairedRows(original.rows, rows) if original and original.rows else PairedRows(rows)
            require_checkable(job.checkpoint.config, pairs, limits or job.recipe.limits)
            rows.require_at_most(job.input_shape.length)
        logit_rows = rows or job.examples.rows or _random_rows(job)
        require_finite(network, [row.input_ids for row in logit_rows.rows[:PROBED]], logit_rows.source)
        return cls(
            network=network,
            logit_rows=logit_rows,
            max_logit_error=job.recipe.max_logit_error,
            reference=reference or network,
            accuracy_rows=pairs,
            limits=limits or job.recipe.limits,
            device=device,
        )

    def run(self, runnable: Runnable, progress: Progress) -> Proof:
        """Load an artifact from its file, run it and compare it with the requirements.

        Raises:
            BadInput: the runtime cannot load the file, or logits of a network are not finite.
        """
        load, input_shape = cache(lambda: _loaded(runnable)), runnable.input_shape
        parity = measure_parity(self.network, load, input_shape, self.logit_rows, self.max_logit_error)
        accuracy = None
        if self.accuracy_rows is not None:
            accuracy = check(self.reference, load(), input_shape, self.accuracy_rows, self.limits, progress)
        # The measurement loads the artifact again, in another process.
        load.cache_clear()
        trim_heap()
        progress("measuring memory", 0, 1)
        memory = profile_model(runnable, self.device)
        progress("measuring memory", 1, 1)
        return Proof(parity, memory, accuracy)


def _loaded(runnable: Runnable) -> Session | Decoder:
    """The loaded artifact; memory that was freed before and while it loaded goes back to the system."""
    trim_heap()
    artifact = runnable.load()
    trim_heap()
    return artifact


def _random_rows(job: Job) -> Rows:
    """Rows of random token ids, up to the artifact's input length."""
    return Rows(tuple(synthetic_rows(job.checkpoint.config, job.input_shape.length)), "synthetic", "", 0)
