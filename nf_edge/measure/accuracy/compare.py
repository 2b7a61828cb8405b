"""Compare an artifact with its checkpoint: accuracy, drop, flips and KL divergence."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from nf_edge.core.intervals import (
    clustered_error,
    clustered_mean,
    effective_count,
    exp,
    paired_difference,
    wilson,
)
from nf_edge.core.strict_json import number
from nf_edge.measure.accuracy.divergence import Divergence
from nf_edge.measure.accuracy.predictions import PairedPredictions, Predictions
from nf_edge.model.config import Task

# A ratio of perplexities up to this much above 1 is printed as 1.0000, so it shows no loss.
LEAST_LOSS = 5e-5
NO_DROP = (None, None, None, None)


@dataclass(frozen=True)
class Score:
    """A model's correct predictions; for a language model also its perplexity.

    A multi-label classifier is right about a row if it is right about all labels.

    Attributes:
        right: number of correct predictions; None without labels, and for a regression.
        total: number of predictions.
        interval: 95 % interval of right / total; None if `right` is None.
        perplexity: infinite if a prediction is not finite, or if the value exceeds float64.  None unless the
            model is a language model.
        perplexity_error: standard error of the perplexity; None if that is infinite or None, or for a single
            text.
    """

    right: int | None
    total: int
    interval: tuple[float, float] | None
    perplexity: float | None = None
    perplexity_error: float | None = None

    @property
    def share(self) -> float | None:
        return None if self.right is None else self.right / self.total

    def to_json(self) -> dict[str, Any]:
        document = asdict(self) | {"perplexity": number(self.perplexity), "share": self.share}
        return document | {"perplexity_error": number(self.perplexity_error)}


@dataclass(frozen=True)
class Comparison:
    """The predictions of an artifact, compared with those of its reference.

    A question is a row, or a token of a language model.  `drop`, `drop_interval`, `lost` and `gained` are
    None without labels, and for a regression.

    Attributes:
        drop: accuracy of the reference minus accuracy of the artifact, in points.
        drop_interval: 95 % interval of the drop, in points.
        not_finite: number of questions for which the artifact's logits are not finite.
        lost: number of questions that only the reference answers correctly.
        gained: number of questions that only the artifact answers correctly.
        perplexity_ratio: the artifact's perplexity / the reference's; None unless both are language models.
        perplexity_ratio_interval: 95 % interval of the ratio; None if that is infinite, or for a single text.
        divergence: flips and KL divergence of the predictions; None for a regression.
    """

    reference: Score
    artifact: Score
    drop: float | None
    drop_interval: tuple[float, float] | None
    not_finite: int
    lost: int | None
    gained: int | None
    perplexity_ratio: float | None
    perplexity_ratio_interval: tuple[float, float] | None
    divergence: Divergence | None

    @property
    def questions(self) -> int:
        """The number of predictions of each model: one per row, or one per token of a language model."""
        return self.artifact.total

    @property
    def kl(self) -> float:
        """The mean KL divergence from the reference in nats; infinite if it is unknown."""
        return self.divergence.kl if self.divergence else math.inf

    @property
    def loses(self) -> bool:
        """Whether a 95 % interval shows that the artifact is worse than the reference.

        A language model loses if the interval of the perplexity ratio is above 1.  Without an interval, it
        loses if the ratio is printed as more than 1.  Other models lose if the interval of `drop` is above 0,
        or if `drop` is unknown.  Logits that are not finite are always a loss.
        """
        if self.not_finite:
            return True
        if self.perplexity_ratio is None:
            return self.drop_interval is None or not self.drop_interval[0] <= 0
        if self.perplexity_ratio_interval is None:
            return not self.perplexity_ratio < 1 + LEAST_LOSS
        return not self.perplexity_ratio_interval[0] <= 1

    def to_json(self) -> dict[str, Any]:
        document = asdict(self) | {
            "reference": self.reference.to_json(),
            "artifact": self.artifact.to_json(),
            "perplexity_ratio": number(self.perplexity_ratio),
        }
        del document["divergence"]
        return document | (self.divergence.to_json() if self.divergence else self._no_divergence())

    def _no_divergence(self) -> dict[str, Any]:
        names = (field.name for field in fields(Divergence))
        return dict.fromkeys(names) | {"questions": self.questions}


def compare(predictions: PairedPredictions, task: Task) -> Comparison:
    """Compare the predictions of two models for a task.

    Tokens of one text are correlated, so the intervals use their effective number
    (`intervals.effective_count`).
    """
    language_model = task == "language modelling"
    right: tuple[np.ndarray, np.ndarray] | None = None
    if task != "regression" and predictions.labelled:
        reference, artifact = predictions.reference.predicted, predictions.artifact.predicted
        right = _right(reference, predictions.truth), _right(artifact, predictions.truth)
    ratio, ratio_interval = _perplexity_ratio(predictions) if language_model else (None, None)
    drop, drop_interval, lost, gained = _drop(*right, predictions.row) if right else NO_DROP
    scores = [
        _score(side, right[place] if right else None, predictions.row, language_model)
        for place, side in enumerate((predictions.reference, predictions.artifact))
    ]
    divergence = None
    if task != "regression":
        divergence = Divergence.of(predictions.changed, predictions.kl, predictions.row)
    return Comparison(
        reference=scores[0],
        artifact=scores[1],
        drop=drop,
        drop_interval=drop_interval,
        not_finite=int(predictions.artifact.not_finite.sum()),
        lost=lost,
        gained=gained,
        perplexity_ratio=ratio,
        perplexity_ratio_interval=ratio_interval,
        divergence=divergence,
    )


def _right(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    right: np.ndarray = predicted == truth
    return right if right.ndim == 1 else right.all(axis=1)


def _drop(
    before: np.ndarray, after: np.ndarray, row: np.ndarray
) -> tuple[float, tuple[float, float], int, int]:
    """The values of `Comparison.drop`, `drop_interval`, `lost` and `gained`.

    Args:
        before, after: whether each prediction of the reference and of the artifact is correct, bool [Q].
        row: int64 [Q], index of each prediction's row.
    """
    lost, gained, total = int((before & ~after).sum()), int((after & ~before).sum()), len(row)
    effective = effective_count(before.astype(np.int64) - after, row) / total
    low, high = paired_difference(lost * effective, gained * effective, total * effective)
    return 100 * (lost - gained) / total, (100 * low, 100 * high), lost, gained


def _perplexity_ratio(predictions: PairedPredictions) -> tuple[float, tuple[float, float] | None]:
    """The artifact's perplexity / the reference's, and the 95 % interval of this ratio.

    The ratio is the exponential of the mean difference of losses, so the difficulty of a text cancels.  The
    interval is None for a single text, or if an end is infinite.
    """
    mean, interval = clustered_mean(predictions.artifact.loss - predictions.reference.loss, predictions.row)
    if interval is None or math.isinf(exp(interval[1])):
        return exp(mean), None
    return exp(mean), (exp(interval[0]), exp(interval[1]))


def _score(side: Predictions, right: np.ndarray | None, row: np.ndarray, language_model: bool) -> Score:
    """The score of one of the two models.

    Args:
        side: the predictions of this model.
        right: bool [Q], whether each prediction is correct; None if this is unknown.
        row: int64 [Q], index of each prediction's row.
        language_model: whether to compute the perplexity.
    """
    total, count, interval = len(row), None, None
    if right is not None:
        count, effective = int(right.sum()), effective_count(right, row) / total
        interval = wilson(count * effective, total * effective)
    if not language_model:
        return Score(count, total, interval)
    perplexity = exp(float(side.loss.mean()))
    error = clustered_error(side.loss, row)
    # Delta method: the standard error of exp(x) is exp(x) times the standard error of x.
    return Score(count, total, interval, perplexity, None if error is None else perplexity * error)
