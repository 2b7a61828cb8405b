"""An artifact's answers beside the checkpoint's: accuracy, drop, flips, KL divergence."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nf_edge.accuracy.answers import Answered, Answers
from nf_edge.accuracy.faithful import Faithfulness
from nf_edge.intervals import clustered_error, clustered_mean, effective_count, paired_difference, wilson


@dataclass(frozen=True)
class Score:
    """Right answers, and the 95 % interval of their share; with the perplexity of a language model.

    Attributes:
        perplexity_error: its standard error; None where one text is all that was asked.
    """

    right: int
    total: int
    interval: tuple[float, float]
    perplexity: float | None = None
    perplexity_error: float | None = None

    @property
    def share(self) -> float:
        return self.right / self.total


@dataclass(frozen=True)
class Comparison:
    """Artifact against reference, on the same questions (rows, or tokens of a language model).

    Attributes:
        drop: accuracy of the reference less that of the artifact, as a share, with its 95 % interval.
        lost, gained: questions that only the reference, only the artifact, answers right.
        perplexity_ratio: of a language model, the artifact's perplexity / the reference's, with its interval,
            which is None where one text is all that was asked.
        faithful: how far the artifact's answers are from the reference's, whether or not either is right.
    """

    reference: Score
    artifact: Score
    drop: float
    drop_interval: tuple[float, float]
    lost: int
    gained: int
    perplexity_ratio: float | None
    perplexity_ratio_interval: tuple[float, float] | None
    faithful: Faithfulness

    @property
    def loses(self) -> bool:
        """Whether the interval shows a loss, of accuracy or of a language model's perplexity."""
        if self.perplexity_ratio is None:
            return self.drop_interval[0] > 0
        return self.perplexity_ratio_interval is not None and self.perplexity_ratio_interval[0] > 1

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        for side, score in (("reference", self.reference), ("artifact", self.artifact)):
            document[side]["share"] = score.share
        return document | document.pop("faithful")


def compare(answered: Answered, language_model: bool) -> Comparison:
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
    flipped = answered.reference.predicted != answered.artifact.predicted
    ratio, ratio_interval = _perplexity_ratio(answered) if language_model else (None, None)
    return Comparison(
        reference=_score(answered, answered.reference, language_model),
        artifact=_score(answered, answered.artifact, language_model),
        drop=(lost - gained) / total,
        drop_interval=paired_difference(lost * told, gained * told, total * told),
        lost=lost,
        gained=gained,
        perplexity_ratio=ratio,
        perplexity_ratio_interval=ratio_interval,
        faithful=Faithfulness.of(flipped, answered.kl, answered.row),
    )


def _perplexity_ratio(answered: Answered) -> tuple[float, tuple[float, float] | None]:
    """The exponential of the mean difference of the losses, so that what is hard for both cancels out."""
    mean, interval = clustered_mean(answered.artifact.loss - answered.reference.loss, answered.row)
    low, high = interval or (mean, mean)
    return float(np.exp(mean)), None if interval is None else (float(np.exp(low)), float(np.exp(high)))


def _score(answered: Answered, answers: Answers, language_model: bool) -> Score:
    right = answers.predicted == answered.truth
    count, total = int(right.sum()), len(right)
    told = effective_count(right, answered.row) / total
    interval = wilson(count * told, total * told)
    if not language_model:
        return Score(count, total, interval)
    perplexity = float(np.exp(answers.loss.mean()))
    error = clustered_error(answers.loss, answered.row)
    # By the delta method: the error of exp(x) is exp(x) times that of x.
    return Score(count, total, interval, perplexity, None if error is None else perplexity * error)
