"""An artifact's answers beside the checkpoint's: accuracy, drop, flips, KL divergence."""

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

# A ratio of perplexities up to 1 and this much is printed as 1.0000.
LEAST_LOSS = 5e-5


@dataclass(frozen=True)
class Score:
    """Right answers, and the 95 % interval of their share; with the perplexity of a language model.

    Attributes:
        perplexity: infinite where an answer is not finite, or it is beyond a float64.
        perplexity_error: its standard error; None where one text is all that was asked, or it is infinite.
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
    """Artifact against reference, on the same questions (rows, or tokens of a language model).

    Attributes:
        drop: accuracy of the reference less that of the artifact, in points (hundredths), with its 95 %
            interval.
        not_finite: questions to which the artifact's logits are not finite, which are no answers.
        lost, gained: questions that only the reference, only the artifact, answers right.
        perplexity_ratio: of a language model, the artifact's perplexity / the reference's, with its interval,
            which is None where one text is all that was asked, or the ratio is infinite.
        divergence: how far the artifact's answers are from the reference's, whether or not either is right.
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
        """Whether the interval shows a loss, of accuracy or of a language model's perplexity; of a perplexity
        without an interval, whether its ratio is printed as more than 1."""
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


def compare(answered: PairedPredictions, language_model: bool) -> Comparison:
    """Compare what two models said.

    Tokens of one text are not independent of each other: the intervals count them for as many as they tell
    of (`intervals.effective_count`).
    """
    right_before = answered.reference.predicted == answered.truth
    right_after = answered.artifact.predicted == answered.truth
    lost = int((right_before & ~right_after).sum())
    gained = int((right_after & ~right_before).sum())
    total = len(answered.truth)
    change = right_before.astype(np.int64) - right_after
    told = effective_count(change, answered.row) / total
    low, high = paired_difference(lost * told, gained * told, total * told)
    flipped = answered.reference.predicted != answered.artifact.predicted
    ratio, ratio_interval = _perplexity_ratio(answered) if language_model else (None, None)
    return Comparison(
        reference=_score(answered, answered.reference, language_model),
        artifact=_score(answered, answered.artifact, language_model),
        drop=100 * (lost - gained) / total,
        drop_interval=(100 * low, 100 * high),
        not_finite=int((answered.artifact.predicted == NOTHING).sum()),
        lost=lost,
        gained=gained,
        perplexity_ratio=ratio,
        perplexity_ratio_interval=ratio_interval,
        divergence=Divergence.of(flipped, answered.kl, answered.row),
    )


def _perplexity_ratio(answered: PairedPredictions) -> tuple[float, tuple[float, float] | None]:
    """The exponential of the mean difference of the losses, so that what is hard for both cancels out."""
    mean, interval = clustered_mean(answered.artifact.loss - answered.reference.loss, answered.row)
    if interval is None or math.isinf(exp(interval[1])):
        return exp(mean), None
    return exp(mean), (exp(interval[0]), exp(interval[1]))


def _score(answered: PairedPredictions, answers: Predictions, language_model: bool) -> Score:
    right = answers.predicted == answered.truth
    count, total = int(right.sum()), len(right)
    told = effective_count(right, answered.row) / total
    interval = wilson(count * told, total * told)
    if not language_model:
        return Score(count, total, interval)
    perplexity = exp(float(answers.loss.mean()))
    error = clustered_error(answers.loss, answered.row)
    # By the delta method: the error of exp(x) is exp(x) times that of x.
    return Score(count, total, interval, perplexity, None if error is None else perplexity * error)
