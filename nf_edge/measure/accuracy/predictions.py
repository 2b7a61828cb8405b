"""Asking two models every question of the rows, and keeping what comparing their answers needs.

A classifier is asked one question a row.  A language model is asked for the next token after every
prefix of a row; an artifact with a cache is fed the row token by token.  Both models are asked in step, so
that no more logits are ever held than those of a batch of rows, or of one text.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.divergence import kl_divergence
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row
from nf_edge.model.finite import finite

# Rows of a classifier that PyTorch is asked at once; of a language model it is one.
REFERENCE_BATCH = 32
# Tokens of a row whose logits are compared at once.
PIECE = 32
# Rows that a network is tried on before long work begins.
PROBED = 8
# What logits that are not finite predict: no class, no token, and not the −1 of a truth that is not known.
NOTHING = -2


@dataclass(frozen=True)
class Predictions:
    """What a model said to Q questions.

    Attributes:
        predicted: int64 [Q], the class or token with the largest logit; `NOTHING` where one is not finite.
        loss: float64 [Q], negative log-likelihood of the truth in nats; NaN where there is no truth, infinite
            where nothing is predicted.
    """

    predicted: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class PairedPredictions:
    """What both models said to the same Q questions.

    Attributes:
        row: int64 [Q], the row that each is of.
        truth: int64 [Q], what would have been right; −1 where the row does not say.
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
    rows: Sequence[Row],
    own: Sequence[Row],
    progress: Progress = silent,
    *,
    prompts: bool = False,
    source: str = "the data",
    first: int = 0,
) -> PairedPredictions:
    """Ask the network in PyTorch, float32, and an artifact: a row at a time, in the shapes that it takes; a
    decoder, through its own cache.

    Larger batches would be faster where it takes them, but a range of activations that is found at run
    time would then be that of a batch, which no device sees.

    Args:
        own: the same rows in the artifact's tokens; a language model has no others.
        prompts: feed a decoder the first half of each row at once, and ask no questions inside that: prompts
            take other kernels than single tokens, and what those get wrong stays in the cache.
        source, first: what the rows are of, and the place (from 0) of the first of them there, for messages.

    Raises:
        BadInput: rows are longer than the artifact takes, or the network's own answers are not finite.
    """
    too_long = sum(len(row.input_ids) > input_shape.length for row in own)
    if too_long:
        raise BadInput(
            f"{too_long} rows are longer than the {input_shape.length} tokens that the artifact takes"
        )
    parts = []
    ask = partial(finite, model, rows=source)
    for number, truth, before, after in _logits(
        model.config, ask, artifact, input_shape, rows, own, first, progress, prompts
    ):
        log_p, log_q = (torch.from_numpy(said).double().log_softmax(-1) for said in (before, after))
        answers = predicted(before), predicted(after)
        parts.append(
            (
                np.full(len(truth), number),
                truth,
                answers[0],
                _loss(log_p, truth, answers[0]),
                answers[1],
                _loss(log_q, truth, answers[1]),
                kl_divergence(log_p, log_q).numpy(),
            )
        )
    row, truth, *said, kl = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PairedPredictions(row, truth, Predictions(*said[:2]), Predictions(*said[2:]), kl)


def _logits(
    config: ModelConfig,
    ask: Callable[..., torch.Tensor],
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: Sequence[Row],
    own: Sequence[Row],
    first: int,
    progress: Progress,
    prompts: bool,
) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
    """A row's number, the truth [q], and the logits [q, C] of both, of some questions of it at a time."""
    size = 1 if config.is_language_model else REFERENCE_BATCH
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        given = map(torch.from_numpy, pad(batch, config.pad_token_id))
        asked = ask(*given, first=first + start).numpy()
        for number, (row, before) in enumerate(zip(batch, asked, strict=True), start):
            if config.is_language_model:
                for at, after in _next_tokens(artifact, input_shape, config, row, prompts):
                    end = at + len(after)
                    yield number, np.array(row.input_ids[at + 1 : end + 1]), before[at:end], after
            else:
                assert not isinstance(artifact, Decoder)
                truth = np.array([-1 if row.label is None else row.label])
                yield number, truth, before[None], _run(artifact, input_shape, config, own[number])
            progress("running PyTorch and the artifact", number + 1, len(rows))


def _next_tokens(
    artifact: Session | Decoder, input_shape: InputShape, config: ModelConfig, row: Row, prompts: bool
) -> Iterator[tuple[int, np.ndarray]]:
    """Logits [q, V] after each token of a row but the last, in pieces, each with the place of its first."""
    ids, done = row.input_ids[:-1], 0
    if prompts and isinstance(artifact, Decoder) and len(ids) > 1:
        done = len(ids) // 2
        yield done - 1, artifact.feed(ids[:done], 0)[None]
    pieces = [slice(start, min(start + PIECE, len(ids))) for start in range(done, len(ids), PIECE)]
    if isinstance(artifact, Decoder):
        for piece in pieces:
            yield piece.start, step_by_step(artifact, ids[: piece.stop], piece.start)
    elif ids:
        whole = _run(artifact, input_shape, config, row)[0]
        yield from ((piece.start, whole[piece]) for piece in pieces)


def _run(session: Session, input_shape: InputShape, config: ModelConfig, row: Row) -> np.ndarray:
    """Logits of one row, [1, C] or [1, T, V]."""
    return session.run(
        *pad([row], config.pad_token_id, None if input_shape.dynamic_length else input_shape.length)
    )


def step_by_step(decoder: Decoder, tokens: Sequence[int], fed: int = 0) -> np.ndarray:
    """Logits [n, V] after each token but the first `fed`, which the cache holds."""
    return np.stack([decoder.feed([tokens[at]], at) for at in range(fed, len(tokens))])


@torch.no_grad()
def require_finite(model: NoiseFormer, texts: Iterable[Sequence[int]], source: str) -> None:
    """Raises BadInput where what a network itself gives for texts, ids of tokens, is not finite."""
    for number, ids in enumerate(texts):
        finite(model, torch.tensor([ids]), rows=source, first=number)


def predicted(logits: np.ndarray) -> np.ndarray:
    """[..., C] → int64 [...], the place of the largest; `NOTHING` where one is not finite."""
    found: np.ndarray = np.where(np.isfinite(logits).all(axis=-1), logits.argmax(axis=-1), NOTHING)
    return found


def _loss(log_p: torch.Tensor, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    chosen = log_p.numpy()[np.arange(len(truth)), truth]
    return np.where(truth < 0, np.nan, np.where(answers == NOTHING, np.inf, -chosen))
