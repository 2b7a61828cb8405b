"""Predictions of two models on the same rows, with everything that a comparison needs.

A classifier makes one prediction per row.  A language model predicts the next token after every prefix of a
row; an artifact with a cache takes the row token by token.  Both models run in step, so that memory holds the
logits of one batch of rows, or of one text.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.divergence import kl_divergence
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row
from nf_edge.model.finite import finite

# Rows of a classifier in one batch of PyTorch; a language model takes one row.
REFERENCE_BATCH = 32
# Tokens of a row whose logits are compared at once.
PIECE = 32
# Rows that a network runs on before long work begins.
PROBED = 8
# The prediction of logits that are not finite: no class, no token, and not the −1 of an unknown truth.
NOTHING = -2


@dataclass(frozen=True)
class Predictions:
    """Q predictions of one model.

    Attributes:
        predicted: int64 [Q], the class or token of the largest logit; `NOTHING` where one is not finite.
        loss: float64 [Q], negative log-likelihood of the truth in nats; NaN where there is no truth, infinite
            where nothing is predicted.
    """

    predicted: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class PairedPredictions:
    """Q predictions of both models.

    Attributes:
        row: int64 [Q], index of the row of each prediction.
        truth: int64 [Q], the right class or token; −1 where the row has none.
        kl: float64 [Q], KL(reference ‖ artifact) of their probabilities, in nats; infinite where the artifact
            predicts nothing.
    """

    row: np.ndarray
    truth: np.ndarray
    reference: Predictions
    artifact: Predictions
    kl: np.ndarray


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

    The artifact takes one row at a time, in its input shape; a decoder takes it through its cache.  Larger
    batches would be faster, but a range of activations found at run time would then be that of a batch, which
    no device computes.

    Args:
        prompts: whether a decoder takes the first half of each row at once, without predictions inside it.
            Prompts use other kernels than single tokens, whose errors stay in the cache.
        first: index of the first row in the data, for messages.

    Raises:
        BadInput: rows are longer than the artifact takes, or logits of the network are not finite.
    """
    rows.artifact.require_at_most(input_shape.length)
    parts = []
    run = partial(finite, model, rows=rows.reference.source)
    logits = _logits(model.config, run, artifact, input_shape, rows, first, progress, prompts)
    for number, truth, before, after in logits:
        log_p, log_q = (torch.from_numpy(each).double().log_softmax(-1) for each in (before, after))
        expected, actual = predicted(before), predicted(after)
        parts.append(
            (
                np.full(len(truth), number),
                truth,
                expected,
                _loss(log_p, truth, expected),
                actual,
                _loss(log_q, truth, actual),
                kl_divergence(log_p, log_q).numpy(),
            )
        )
    row, truth, *sides, kl = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairedPredictions(row, truth, Predictions(*sides[:2]), Predictions(*sides[2:]), kl)


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
    """Index of a row, truth [q] and logits [q, C] of both models, for q predictions of the row at a time."""
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
                truth = np.array([-1 if row.label is None else row.label])
                yield number, truth, before[None], _run(artifact, input_shape, config, artifact_rows[number])
            progress("comparing answers with PyTorch's", number + 1, len(reference_rows))


def _next_tokens(
    artifact: Session | Decoder, input_shape: InputShape, config: ModelConfig, row: Row, prompts: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Logits [q, V] after each token of a row but the last, in pieces, each with the index of its first."""
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
    """Logits of one row, [1, C] or [1, T, V]."""
    return session.run(
        *pad([row], config.pad_token_id, None if input_shape.dynamic_length else input_shape.length)
    )


def step_by_step(decoder: Decoder, tokens: Sequence[int], fed: int = 0) -> np.ndarray:
    """Logits [n, V] after each token but the first `fed`, which are in the cache."""
    return np.stack([decoder.feed([tokens[at]], at) for at in range(fed, len(tokens))])


@torch.no_grad()
def require_finite(model: NoiseFormer, texts: Iterable[Sequence[int]], source: str) -> None:
    """Raises BadInput where a network computes NaN or Inf on a text.

    Args:
        texts: token ids of each.
        source: what the texts are from, for messages.
    """
    for number, ids in enumerate(texts):
        finite(model, torch.tensor([ids]), rows=source, first=number)


def predicted(logits: np.ndarray) -> np.ndarray:
    """[..., C] → int64 [...], the index of the largest logit; `NOTHING` where one is not finite."""
    largest: np.ndarray = np.where(np.isfinite(logits).all(axis=-1), logits.argmax(axis=-1), NOTHING)
    return largest


def _loss(log_p: torch.Tensor, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """float64 [Q], negative log-likelihood of the truth in nats; see `Predictions`."""
    chosen = log_p.numpy()[np.arange(len(truth)), truth]
    return np.where(truth < 0, np.nan, np.where(predicted == NOTHING, np.inf, -chosen))
