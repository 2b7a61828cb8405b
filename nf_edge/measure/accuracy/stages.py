"""`nf-edge check --stages`: the accuracy after each stage from the checkpoint to the device.

Every stage predicts the same rows.  The predictions of a stage are compared with the float32 checkpoint's,
and with the previous stage's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nf_edge.core.errors import AccuracyGate
from nf_edge.core.notebook import HtmlValue
from nf_edge.core.progress import Progress, silent
from nf_edge.core.recipe.recipe import Limits
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.check import AccuracyReport, report_of
from nf_edge.measure.accuracy.metric_changes import MetricChange
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions, paired, truth_of
from nf_edge.measure.accuracy.row_logits import Predict
from nf_edge.measure.accuracy.same_file import SameFile
from nf_edge.model import ModelConfig
from nf_edge.model.data.rows import Rows
from nf_edge.model.data.sources import name_of

# A change of the predictions below this comes from the order of float32 sums.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Stage:
    """A network or file between the float32 checkpoint and the device.

    Attributes:
        through: the network or file, and the library that runs it, in words.
        predict: computes the logits of a row; None if the stage is not run.
        skipped: the reason why the stage is not run; "" if it is run.
        remark: parts of the export that the stage leaves out, in words; "" if there are none.
    """

    name: str
    through: str
    predict: Predict | None
    skipped: str = ""
    remark: str = ""

    @classmethod
    def not_run(cls, name: str, reason: str) -> "Stage":
        return cls(name, "", None, reason)


@dataclass(frozen=True)
class Step:
    """The change of the predictions from one stage to another, on the same rows.

    Attributes:
        report: metrics, changed predictions and KL divergence, without limits.
        logit_error: the largest difference of a logit; infinite if a logit is not finite.
    """

    report: AccuracyReport
    logit_error: float

    @property
    def main(self) -> MetricChange | None:
        """The metric that ranks stages: perplexity for a language model, else the first metric; None without
        labels.
        """
        metrics = self.report.metrics
        perplexity = (change for change in metrics if change.metric.name == "perplexity")
        return next(perplexity, metrics[0] if metrics else None)

    @property
    def change(self) -> float:
        """The size of the change without labels: the mean KL divergence in nats; for a regression,
        `logit_error`.

        Infinite if a logit is not finite.
        """
        divergence = self.report.comparison.divergence
        return divergence.kl if divergence else self.logit_error

    @property
    def loses(self) -> bool:
        """Whether logits are not finite, or the 95 % interval shows a loss of the main metric."""
        if self.report.comparison.not_finite:
            return True
        interval = self.main.interval if self.main else None
        return interval is not None and not interval[0] <= 0

    @property
    def loss(self) -> float:
        """The loss of the main metric; infinite if the loss is unknown, or if logits are not finite."""
        if self.report.comparison.not_finite or self.main is None or self.main.loss is None:
            return math.inf
        return self.main.loss

    def to_json(self) -> dict[str, Any]:
        document = self.report.to_json()
        del document["limits"], document["max_drop"], document["passed"]  # stages have no gate
        return document | {"largest_logit_error": number(self.logit_error)}


@dataclass(frozen=True)
class StageResult:
    """The figures of a stage that was run.

    Attributes:
        previous: name of the last stage before this one that was run.
        from_fp32: the change from the float32 checkpoint to this stage.
        from_previous: the change from the stage `previous` to this stage.
    """

    stage: Stage
    previous: str
    from_fp32: Step
    from_previous: Step


@dataclass(frozen=True)
class StagesReport(HtmlValue):
    """The accuracy after each stage.

    Attributes:
        reference: the float32 checkpoint.
        stages: all stages in order, including those that were not run.
        results: the figures of the stages that were run, in order.
        truncated: number of rows that were cut to the input's length.
        unit: the unit of predictions: `rows`, or `tokens` of a language model.
        lowered_again: whether lowering the checkpoint again gave the artifact's files.
    """

    reference: Stage
    stages: tuple[Stage, ...]
    results: tuple[StageResult, ...]
    data: str
    data_sha256: str
    rows: int
    truncated: int
    unit: str
    lowered_again: SameFile

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error if lowering the checkpoint again gives other files than the artifact's.

        None if the files are equal, or if this is unknown.
        """
        return self.lowered_again.failure

    @property
    def worst(self) -> StageResult | None:
        """The stage that lost most against the stage before it; None if no stage changed the predictions.

        Stages rank by their loss of the main metric, if the 95 % interval of at least one stage shows a loss.
        Logits that are not finite are the largest loss.  Otherwise stages rank by `Step.change`.  A change
        that is only float32's rounding does not count.
        """
        losing = [result for result in self.results if result.from_previous.loses]
        if losing:
            return max(losing, key=lambda result: result.from_previous.loss)
        changed = [result for result in self.results if not result.from_previous.change <= ROUNDING]
        return max(changed, key=lambda result: result.from_previous.change, default=None)

    @property
    def worst_by(self) -> str:
        """The figure that ranks the stages: a metric, `finite logits`, `KL divergence` or `largest logit
        error`.
        """
        first = self.results[0].from_previous
        if any(result.from_previous.loses for result in self.results):
            return first.main.metric.title if first.main else "finite logits"
        return "KL divergence" if first.report.comparison.divergence else "largest logit error"

    def to_json(self) -> dict[str, Any]:
        by_name = {result.stage.name: result for result in self.results}
        return {
            "reference": self.reference.through,
            "data": self.data,
            "data_sha256": self.data_sha256,
            "rows": self.rows,
            "truncated_rows": self.truncated,
            "unit": self.unit,
            "lowered_again": self.lowered_again.to_json(),
            "lost_most": self.worst.stage.name if self.worst else None,
            "lost_most_by": self.worst_by if self.worst else None,
            "stages": [_stage_json(stage, by_name.get(stage.name)) for stage in self.stages],
        }


def _stage_json(stage: Stage, result: StageResult | None) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "through": stage.through,
        "skipped": stage.skipped,
        "remark": stage.remark,
        "previous": result.previous if result else None,
        "from_fp32": result.from_fp32.to_json() if result else None,
        "from_previous": result.from_previous.to_json() if result else None,
    }


def measure_stages(
    reference: Stage,
    stages: Sequence[Stage],
    rows: PairedRows,
    config: ModelConfig,
    lowered_again: SameFile,
    progress: Progress = silent,
) -> StagesReport:
    """Predict the same rows after each stage; compare each stage with the checkpoint and the stage before.

    Rows run one after the other, so that memory holds the logits of one row only.

    Args:
        reference: the float32 checkpoint, which reads `rows.reference`.
        stages: the later stages, which read `rows.artifact`.
        config: configuration of the checkpoint.
        lowered_again: whether lowering the checkpoint again gave the artifact's files, for the report.

    Raises:
        BadInput: the rows do not suit the model, or logits of the float32 checkpoint are not finite.
    """
    rows.require_comparable(config)
    running = [stage for stage in stages if stage.predict is not None]
    steps = [(_Collected(), _Collected()) for _ in running]
    pairs = list(zip(rows.reference.rows, rows.artifact.rows, strict=True))
    assert reference.predict is not None
    for index, (row, artifact_row) in enumerate(pairs):
        truth = truth_of(row, config)
        context = 0 if row.scored is None else max(len(truth) - row.scored, 0)
        truth, fp32 = truth[context:], reference.predict(row, index)[context:]
        previous = fp32
        for stage, (from_fp32, from_previous) in zip(running, steps, strict=True):
            assert stage.predict is not None
            logits = stage.predict(artifact_row, index)[context:]
            from_fp32.add(paired(index, truth, fp32, logits, config.task), fp32, logits)
            from_previous.add(paired(index, truth, previous, logits, config.task), previous, logits)
            previous = logits
        progress("running every stage", index + 1, len(pairs))
    names = [reference.name, *(stage.name for stage in running)]
    return StagesReport(
        reference=reference,
        stages=tuple(stages),
        results=tuple(
            StageResult(
                stage,
                before,
                from_fp32.step(config, rows.reference),
                from_previous.step(config, rows.reference),
            )
            for stage, before, (from_fp32, from_previous) in zip(running, names, steps, strict=False)
        ),
        data=name_of(rows.reference.source),
        data_sha256=rows.reference.sha256,
        rows=len(pairs),
        truncated=rows.reference.truncated,
        unit="tokens" if config.is_language_model else "rows",
        lowered_again=lowered_again,
    )


@dataclass
class _Collected:
    """Paired predictions of two stages, and the largest difference of their logits; collected row by row."""

    parts: list[PairedPredictions] = field(default_factory=list)
    logit_error: float = 0.0

    def add(self, predictions: PairedPredictions, before: np.ndarray, after: np.ndarray) -> None:
        self.parts.append(predictions)
        error = np.abs(np.subtract(after, before, dtype=np.float64)).max(initial=0.0)
        # max() would drop a NaN.
        self.logit_error = max(self.logit_error, math.inf if math.isnan(error) else float(error))

    def step(self, config: ModelConfig, rows: Rows) -> Step:
        return Step(report_of(PairedPredictions.joined(self.parts), config, rows, Limits()), self.logit_error)
