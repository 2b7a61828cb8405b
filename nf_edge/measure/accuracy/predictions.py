"""Predictions of two models on the same rows, with the data for a comparison.

A classifier or a regression makes one prediction per row.  A language model predicts the next token after
every prefix of a row.  An artifact with a cache reads the row token by token.  Both models run in step, so
that memory holds the logits of only one batch of rows, or of one text.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.divergence import kl_divergence, labels_divergence
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.config import Task
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row
from nf_edge.model.finite import finite

# Rows per batch in PyTorch for a classifier; a language model's batch has one row.
REFERENCE_BATCH = 32
# Number of tokens of a row with logits compared in one step.
PIECE = 32
# Number of rows to test a network on before a long job.
PROBED = 8
# The prediction if logits are not finite.  It differs from all classes and tokens, and from the −1 of an
# unknown truth.
NOTHING = -2


@dataclass(frozen=True)
class Predictions:
    """Q predictions of one model.

    Attributes:
        predicted: int64 [Q], the class or token of the largest logit.  For a multi-label classifier,
            int64 [Q, L], 1 for each label whose probability is above 0.5.  For a regression, float64 [Q].
            A prediction whose logits are not finite is `NOTHING`, or NaN for a regression.
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
        """The predictions of several parts, in order; there may be no part."""
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

    def where(self, chosen: np.ndarray) -> "PairedPredictions":
        """The predictions for which `chosen`, bool [Q], is true."""
        reference, artifact = (
            Predictions(side.predicted[chosen], side.loss[chosen]) for side in (self.reference, self.artifact)
        )
        row, truth, kl = self.row[chosen], self.truth[chosen], self.kl[chosen]
        return PairedPredictions(row, truth, reference, artifact, kl)

    @property
    def labelled(self) -> bool:
        """Whether every prediction has a truth."""
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


def predict_both(
    model: NoiseFormer,
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: PairedRows,
    progress: Progress = silent,
    *,
    prompts: bool = False,
    first: int = 0,
) -> PairedPredictions:
    """Run a network in PyTorch, float32, and an artifact on the same rows.

    The artifact runs one row at a time, in its input shape; a decoder uses its cache.  Larger batches would
    be faster, but activation ranges computed at run time would then cover a batch.  No device computes such
    ranges.

    Args:
        prompts: whether a decoder reads the first half of each row in one call, and predicts nothing inside
            this half.  Prompts use other kernels than single tokens, and errors of prompts stay in the cache.
        first: index of the first row in the data, for messages.

    Raises:
        BadInput: rows are longer than the artifact accepts, or the network's logits are not finite.
    """
    rows.artifact.require_at_most(input_shape.length)
    run, task = partial(finite, model, rows=rows.reference.source), model.config.task
    logits = _logits(model.config, run, artifact, input_shape, rows, first, progress, prompts)
    # Rows of one token have no next token, and all rows of a shard may be of this kind.
    predictions = PairedPredictions.joined([paired(*each, task) for each in logits])
    return _scored(predictions, rows.reference.rows)


def _scored(predictions: PairedPredictions, rows: Sequence[Row]) -> PairedPredictions:
    """Leave out predictions of tokens that are only context (`Row.scored`)."""
    if all(row.scored is None for row in rows):
        return predictions
    scored = np.array([len(row.input_ids) if row.scored is None else row.scored for row in rows])
    ends = np.searchsorted(predictions.row, predictions.row, side="right")
    from_end = ends - np.arange(len(ends))
    return predictions.where(from_end <= scored[predictions.row])


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


def _logits(
    config: ModelConfig,
    run: Callable[..., torch.Tensor],
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: PairedRows,
    first: int,
    progress: Progress,
    prompts: bool,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """Run both models, and yield their logits for q predictions of one row at a time.

    Each item has the row's index, the truth [q], the reference's logits [q, C], and the artifact's logits
    [q, C].
    """
    size = 1 if config.is_language_model else REFERENCE_BATCH
    reference_rows, artifact_rows = rows.reference.rows, rows.artifact.rows
    for start in range(0, len(reference_rows), size):
        batch = reference_rows[start : start + size]
        inputs = map(torch.from_numpy, pad(batch, config.pad_token_id))
        logits = run(*inputs, first=first + start).numpy()
        for number, (row, before) in enumerate(zip(batch, logits, strict=True), start):
            if config.is_language_model:
                for at, after in _next_tokens(artifact, input_shape, config, row, prompts):
                    end = at + len(after)
                    yield number, np.array(row.input_ids[at + 1 : end + 1]), before[at:end], after
            else:
                assert not isinstance(artifact, Decoder)
                truth = truth_of(row, config)
                yield number, truth, before[None], _run(artifact, input_shape, config, artifact_rows[number])
            progress("comparing answers with PyTorch's", number + 1, len(reference_rows))


def _next_tokens(
    artifact: Session | Decoder, input_shape: InputShape, config: ModelConfig, row: Row, prompts: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the logits after each token of a row except the last, in pieces for q consecutive tokens.

    Each item has the index of the first of these tokens, and the logits [q, V].
    """
    ids, done = row.input_ids[:-1], 0
    if prompts and isinstance(artifact, Decoder) and len(ids) > 1:
        done = len(ids) // 2
        yield done - 1, artifact.feed(ids[:done], 0)[None]
    pieces = [slice(start, min(start + PIECE, len(ids))) for start in range(done, len(ids), PIECE)]
    if isinstance(artifact, Decoder):
        for piece in pieces:
            yield piece.start, step_by_step(artifact, ids[: piece.stop], piece.start)
    elif ids:
        logits = _run(artifact, input_shape, config, row)[0]
        yield from ((piece.start, logits[piece]) for piece in pieces)


def _run(session: Session, input_shape: InputShape, config: ModelConfig, row: Row) -> np.ndarray:
    """Logits of one row: [1, C], or [1, T, V] of a language model."""
    return session.run(
        *pad([row], config.pad_token_id, None if input_shape.dynamic_length else input_shape.length)
    )


def step_by_step(decoder: Decoder, tokens: Sequence[int], fed: int = 0) -> np.ndarray:
    """Feed tokens one by one to a decoder; return the logits after each of them, [n, V].

    Args:
        tokens: the tokens from position 0 on.
        fed: number of tokens that the cache already has; they are not fed again.
    """
    return np.stack([decoder.feed([tokens[at]], at) for at in range(fed, len(tokens))])


@torch.no_grad()
def require_finite(model: NoiseFormer, texts: Iterable[Sequence[int]], source: str) -> None:
    """Check that a network's logits of texts are finite.

    Args:
        texts: token ids of each text.
        source: the source of the texts, for messages.

    Raises:
        BadInput: the network computes NaN or Inf.
    """
    for number, ids in enumerate(texts):
        finite(model, torch.tensor([ids]), rows=source, first=number)


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
    """The index of the largest logit: [..., C] → int64 [...]; `NOTHING` if a logit is not finite."""
    largest: np.ndarray = np.where(np.isfinite(logits).all(axis=-1), logits.argmax(axis=-1), NOTHING)
    return largest


def _loss(log_p: torch.Tensor, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """The loss of each prediction, float64 [Q], as described in `Predictions`."""
    chosen = log_p.numpy()[np.arange(len(truth)), truth]
    return np.where(truth < 0, np.nan, np.where(predicted == NOTHING, np.inf, -chosen))
