"""Predictions of two models on the same rows, with the data for a comparison."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from nf_edge.measure.accuracy.divergence import kl_divergence, labels_divergence
from nf_edge.model import ModelConfig
from nf_edge.model.config import Task
from nf_edge.model.data.rows import Row

# The prediction if logits are not finite.  It differs from all classes and tokens, and from the −1 of an
# unknown truth.
NOTHING = -2


@dataclass(frozen=True)
class Predictions:
    """Q predictions of one model.

    Attributes:
        predicted: int64 [Q], the class or token of the largest logit.  For a multi-label classifier,
            int64 [Q, L], 1 for each label whose probability is above 0.5.  For a regression, float64 [Q].
            If the logits are not finite, it is `NOTHING` (−2), or NaN for a regression.
        loss: float64 [Q], negative log-likelihood of the true class or token in nats.  NaN if there is no
            such class or token; infinite if `predicted` is `NOTHING`.
    """

    predicted: np.ndarray
    loss: np.ndarray

    @property
    def not_finite(self) -> np.ndarray:
        """For each prediction, whether its logits are not finite, bool [Q]."""
        nothing: np.ndarray = np.isnan(self.predicted) | (self.predicted == NOTHING)
        return nothing if nothing.ndim == 1 else nothing.any(axis=1)


@dataclass(frozen=True)
class PairedPredictions:
    """Q predictions of both models.

    Attributes:
        row: int64 [Q], index of each prediction's row.
        truth: the truth, of the same shape and type as `Predictions.predicted`.  If the row has no label,
            it is −1, or NaN for a regression.
        reference: the checkpoint's predictions.
        artifact: the artifact's predictions.
        kl: float64 [Q], KL(reference ‖ artifact) in nats; infinite if the artifact's logits are not finite;
            NaN for a regression.
    """

    row: np.ndarray
    truth: np.ndarray
    reference: Predictions
    artifact: Predictions
    kl: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["PairedPredictions"]) -> "PairedPredictions":
        """The predictions of several parts in one value, in order; without parts, it has no predictions."""
        indices, numbers = np.zeros(0, np.int64), np.zeros(0)
        none = cls(indices, indices, Predictions(indices, numbers), Predictions(indices, numbers), numbers)
        parts = parts or [none]

        def both(side: str) -> Predictions:
            sides = [getattr(part, side) for part in parts]
            return Predictions(
                *(np.concatenate([getattr(each, name) for each in sides]) for name in ("predicted", "loss"))
            )

        row, truth, kl = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("row", "truth", "kl")
        )
        return cls(row, truth, both("reference"), both("artifact"), kl)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """All arrays by name, from which `from_arrays` makes these predictions again."""
        sides = {
            f"{side}_{name}": getattr(getattr(self, side), name)
            for side in ("reference", "artifact")
            for name in ("predicted", "loss")
        }
        return {"row": self.row, "truth": self.truth, "kl": self.kl, **sides}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "PairedPredictions":
        reference, artifact = (
            Predictions(arrays[f"{side}_predicted"], arrays[f"{side}_loss"])
            for side in ("reference", "artifact")
        )
        return cls(arrays["row"], arrays["truth"], reference, artifact, arrays["kl"])

    def where(self, chosen: np.ndarray) -> "PairedPredictions":
        """The predictions for which `chosen`, bool [Q], is true."""
        reference, artifact = (
            Predictions(side.predicted[chosen], side.loss[chosen]) for side in (self.reference, self.artifact)
        )
        row, truth, kl = self.row[chosen], self.truth[chosen], self.kl[chosen]
        return PairedPredictions(row, truth, reference, artifact, kl)

    @property
    def labelled(self) -> bool:
        """Whether the true label or token of every prediction is known."""
        return bool((self.truth >= 0).all() if self.truth.dtype.kind == "i" else ~np.isnan(self.truth).any())

    @property
    def changed(self) -> np.ndarray:
        """Whether the artifact's prediction differs from the checkpoint's, or is not finite: bool [Q]."""
        changed: np.ndarray = self.reference.predicted != self.artifact.predicted
        return changed if changed.ndim == 1 else changed.any(axis=1)


def paired(
    row: int, truth: np.ndarray, before: np.ndarray, after: np.ndarray, task: Task
) -> PairedPredictions:
    """The predictions of two models for q questions of a row.

    Args:
        row: index of the row.
        truth: the truth of the questions, as in `PairedPredictions`.
        before, after: the logits of both models, [q, C].
    """
    expected, expected_loss, actual, actual_loss, kl = _compared(truth, before, after, task)
    sides = Predictions(expected, expected_loss), Predictions(actual, actual_loss)
    return PairedPredictions(np.full(len(truth), row), truth, *sides, kl)


def _compared(truth: np.ndarray, before: np.ndarray, after: np.ndarray, task: Task) -> list[np.ndarray]:
    """Compare the logits [q, C] of both models.

    Returns:
        The reference's predictions and losses, the artifact's predictions and losses, and the KL divergences.
    """
    answers = [answers_of(logits, task) for logits in (before, after)]
    unknown = np.full(len(truth), np.nan)
    if task == "regression":
        return [answers[0], unknown, answers[1], unknown, unknown]
    logits = [torch.from_numpy(each).double() for each in (before, after)]
    if task == "multi-label classification":
        return [answers[0], unknown, answers[1], unknown, labels_divergence(*logits).numpy()]
    log_p, log_q = (each.log_softmax(-1) for each in logits)
    losses = [_loss(log, truth, answer) for log, answer in zip((log_p, log_q), answers, strict=True)]
    return [answers[0], losses[0], answers[1], losses[1], kl_divergence(log_p, log_q).numpy()]


def answers_of(logits: np.ndarray, task: Task) -> np.ndarray:
    """The predictions from logits [..., C], as described in `Predictions`."""
    if task == "multi-label classification":
        finite_rows = np.isfinite(logits).all(axis=-1, keepdims=True)
        return np.where(finite_rows, (logits > 0).astype(np.int64), NOTHING)
    if task == "regression":
        return np.where(np.isfinite(logits), logits, np.nan)[..., 0].astype(np.float64)
    return predicted(logits)


def truth_of(row: Row, config: ModelConfig) -> np.ndarray:
    """The truth of a row's predictions, as in `PairedPredictions`.

    For a language model, it is the next tokens, [T − 1] for a row of T tokens.  For other models, it is the
    row's label, [1] or [1, L].
    """
    if config.is_language_model:
        return np.array(row.input_ids[1:], np.int64)
    if config.task == "regression":
        return np.array([np.nan if row.label is None else row.label], np.float64)
    unknown = -1 if config.task == "classification" else [-1] * (config.num_labels or 0)
    return np.array([unknown if row.label is None else row.label], np.int64)


def predicted(logits: np.ndarray) -> np.ndarray:
    """The index of the largest logit: [..., C] → int64 [...]; `NOTHING` (−2) if a logit is not finite."""
    largest: np.ndarray = np.where(np.isfinite(logits).all(axis=-1), logits.argmax(axis=-1), NOTHING)
    return largest


def _loss(log_p: torch.Tensor, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The loss of each prediction, float64 [Q], as described in `Predictions`.

    Args:
        log_p: log probabilities, float64 [Q, C].
        truth, predicted: int64 [Q].
    """
    chosen = log_p.numpy()[np.arange(len(truth)), truth]
    return np.where(truth < 0, np.nan, np.where(predicted == NOTHING, np.inf, -chosen))
