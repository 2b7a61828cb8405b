"""Run a network in PyTorch and an artifact on the same rows, and pair their predictions.

A classifier or a regression makes one prediction per row.  A language model predicts the next token after
every prefix of a row.  An artifact with a cache reads the row token by token.  Both models run in step, so
that memory holds the logits of only one batch of rows, or of one text.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import torch

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.progress import Progress, silent
from nf_edge.measure.accuracy.last_logits import LastLogits
from nf_edge.measure.accuracy.paired_rows import PairedRows
from nf_edge.measure.accuracy.predictions import PairedPredictions, paired, truth_of
from nf_edge.model import CausalLM, Decoder, ModelConfig, NoiseFormer
from nf_edge.model.data.batches import pad
from nf_edge.model.data.rows import Row
from nf_edge.model.finite import finite

# Rows per batch in PyTorch for a classifier; a language model's batch has one row.
REFERENCE_BATCH = 32
# Number of tokens of a row with logits compared in one step.
PIECE = 32
# Number of rows to test a network on before a long job.
PROBED = 8


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

    Args:
        run: runs the reference.
        first: index of the first row in the data, for messages.
        prompts: as for `predict_both`.
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

    Args:
        prompts: whether a decoder reads the first half of the row in one call.
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
    """The artifact's logits of one row: [1, C], or [1, T, V] of a language model."""
    return session.run(*padded(row, input_shape, config.pad_token_id))


def padded(row: Row, input_shape: InputShape, pad_token_id: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The ids and the mask of a row, int64 [1, T] each, padded if the artifact has a fixed length.

    Args:
        pad_token_id: the token that pads a row; None: 0.
    """
    return pad([row], pad_token_id, None if input_shape.dynamic_length else input_shape.length)


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
    network = LastLogits(model) if isinstance(model, CausalLM) else model
    for number, ids in enumerate(texts):
        finite(network, torch.tensor([ids]), rows=source, first=number)
