"""Compare an artifact with its checkpoint: accuracy, drop, flips and KL divergence."""

import math
from dataclasses import asdict, dataclass
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
from nf_edge.measure.accuracy.predictions import NOTHING, PairedPredictions, Predictions

# A ratio of perplexities up to this much above 1 is printed as 1.0000, so it shows no loss.
LEAST_LOSS = 5e-5


@dataclass(frozen=True)
class Score:
    """A model's correct predictions, with a 95 % interval of their share, and a language model's perplexity.

    Attributes:
        right: number of correct predictions.
        total: number of predictions.
        interval: 95 % interval of the share of correct predictions.
        perplexity: infinite if a prediction is not finite, or if it exceeds a float64; None unless a language
            model.
        perplexity_error: standard error of the perplexity; None for a single text, or if the perplexity is
            infinite.
    """

    right: int
    total: int
    interval: tuple[float, float]
    perplexity: float | None = None
    perplexity_error: float | None = None

    @property
    def share(self) -> float:
        return self.right / self.total

    def to_json(self) -> dict[str, Any]:
        document = asdict(self) | {"perplexity": number(self.perplexity), "share": self.share}
        return document | {"perplexity_error": number(self.perplexity_error)}


@dataclass(frozen=True)
class Comparison:
    """The predictions of an artifact and of its reference on the same questions: rows, or tokens of a
    language model.

    Attributes:
        drop: accuracy of the reference minus accuracy of the artifact, in points (hundredths).
        drop_interval: 95 % interval of the drop.
        not_finite: number of questions for which the artifact's logits are not finite.
        lost: number of questions that only the reference answers correctly.
        gained: number of questions that only the artifact answers correctly.
        perplexity_ratio: the artifact's perplexity / the reference's; None unless a language model.
        perplexity_ratio_interval: 95 % interval of the ratio; None for a single text, or if the ratio is
            infinite.
        divergence: flips and KL divergence between both models' predictions.
    """

    reference: Score
    artifact: Score
    drop: float
    drop_interval: tuple[float, float]
    not_finite: int
    lost: int
    gained: int
    perplexity_ratio: float | None
    perplexity_ratio_interval: tuple[float, float] | None
    divergence: Divergence

    @property
    def loses(self) -> bool:
        """Whether the interval shows a loss of accuracy, or of a language model's perplexity.

        A perplexity ratio without an interval shows a loss if it is printed as more than 1.
        """
        if self.not_finite:
            return True
        if self.perplexity_ratio is None:
            return self.drop_interval[0] > 0
        if self.perplexity_ratio_interval is None:
            return not self.perplexity_ratio < 1 + LEAST_LOSS
        return self.perplexity_ratio_interval[0] > 1

    def to_json(self) -> dict[str, Any]:
        document = asdict(self) | {
            "reference": self.reference.to_json(),
            "artifact": self.artifact.to_json(),
            "perplexity_ratio": number(self.perplexity_ratio),
        }
        del document["divergence"]
        return document | self.divergence.to_json()


def compare(predictions: PairedPredictions, language_model: bool) -> Comparison:
    """Compare the predictions of two models.

    Tokens of one text are correlated, so the intervals use their effective number
    (`intervals.effective_count`).
    """
    right_before = predictions.reference.predicted == predictions.truth
    right_after = predictions.artifact.predicted == predictions.truth
    lost = int((right_before & ~right_after).sum())
    gained = int((right_after & ~right_before).sum())
    total = len(predictions.truth)
    change = right_before.astype(np.int64) - right_after
    effective = effective_count(change, predictions.row) / total
    low, high = paired_difference(lost * effective, gained * effective, total * effective)
    flipped = predictions.reference.predicted != predictions.artifact.predicted
    ratio, ratio_interval = _perplexity_ratio(predictions) if language_model else (None, None)
    return Comparison(
        reference=_score(predictions, predictions.reference, language_model),
        artifact=_score(predictions, predictions.artifact, language_model),
        drop=100 * (lost - gained) / total,
        drop_interval=(100 * low, 100 * high),
        not_finite=int((predictions.artifact.predicted == NOTHING).sum()),
        lost=lost,
        gained=gained,
        perplexity_ratio=ratio,
        perplexity_ratio_interval=ratio_interval,
        divergence=Divergence.of(flipped, predictions.kl, predictions.row),
    )


def _perplexity_ratio(predictions: PairedPredictions) -> tuple[float, tuple[float, float] | None]:
    """The ratio of the perplexities: the exponential of the mean difference of losses.

    The difference cancels the difficulty of a text, which is the same for both models.

    Returns:
        The ratio, and its 95 % interval; None if it has none.
    """
    mean, interval = clustered_mean(predictions.artifact.loss - predictions.reference.loss, predictions.row)
    if interval is None or math.isinf(exp(interval[1])):
        return exp(mean), None
    return exp(mean), (exp(interval[0]), exp(interval[1]))


def _score(predictions: PairedPredictions, side: Predictions, language_model: bool) -> Score:
    """The score of one of the two models."""
    right = side.predicted == predictions.truth
    count, total = int(right.sum()), len(right)
    effective = effective_count(right, predictions.row) / total
    interval = wilson(count * effective, total * effective)
    if not language_model:
        return Score(count, total, interval)
    perplexity = exp(float(side.loss.mean()))
    error = clustered_error(side.loss, predictions.row)
    # Delta method: the standard error of exp(x) is exp(x) times the standard error of x.
    return Score(count, total, interval, perplexity, None if error is None else perplexity * error)
