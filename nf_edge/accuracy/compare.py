"""An artifact's answers beside the checkpoint's: accuracy, drop, flips."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from nf_edge.accuracy.answers import Answers
from nf_edge.intervals import paired_difference, wilson


@dataclass(frozen=True)
class Score:
    """Right answers, and the 95 % interval of their share; with the perplexity of a language model."""

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
        flips: questions that the two answer differently, whether or not either is right.
        lost, gained: questions that only the reference, only the artifact, answers right.
    """

    questions: int
    reference: Score
    artifact: Score
    drop: float
    drop_interval: tuple[float, float]
    flips: int
    lost: int
    gained: int

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        for side, score in (("reference", self.reference), ("artifact", self.artifact)):
            document[side]["share"] = score.share
        return document


def compare(reference: Answers, artifact: Answers, language_model: bool) -> Comparison:
    """Compare two sets of answers to the same questions.

    The intervals take questions to be independent of each other, which tokens of one text are not
    quite: a language model's are somewhat too narrow.
    """
    right_before = reference.predicted == reference.truth
    right_after = artifact.predicted == artifact.truth
    lost = int((right_before & ~right_after).sum())
    gained = int((right_after & ~right_before).sum())
    total = len(reference.truth)
    return Comparison(
        questions=total,
        reference=_score(reference, language_model),
        artifact=_score(artifact, language_model),
        drop=(lost - gained) / total,
        drop_interval=paired_difference(lost, gained, total),
        flips=int((reference.predicted != artifact.predicted).sum()),
        lost=lost,
        gained=gained,
    )


def _score(answers: Answers, language_model: bool) -> Score:
    right, total = int((answers.predicted == answers.truth).sum()), len(answers.truth)
    if not language_model:
        return Score(right, total, wilson(right, total))
    perplexity = float(np.exp(answers.loss.mean()))
    # By the delta method: the error of exp(x) is exp(x) times that of x.
    error = perplexity * float(answers.loss.std(ddof=1)) / total**0.5 if total > 1 else None
    return Score(right, total, wilson(right, total), perplexity, error)
