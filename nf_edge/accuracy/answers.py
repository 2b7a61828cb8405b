"""Asking a model every question of the rows, and keeping what comparing answers needs.

A classifier is asked one question a row.  A language model is asked for the next token after every
prefix of a row; an artifact with a cache is fed the row token by token.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from nf_edge.backends.base import Bounds, Session
from nf_edge.data.batches import collate
from nf_edge.data.rows import Row
from nf_edge.errors import BadInput
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.progress import Progress, silent

REFERENCE_BATCH = 32


@dataclass(frozen=True)
class Answers:
    """What a model said to Q questions.

    Attributes:
        predicted: int64 [Q], the class or token with the largest logit.
        truth: int64 [Q], what would have been right; −1 where the row does not say.
        loss: float64 [Q], negative log-likelihood of the truth in nats; NaN where there is no truth.
    """

    predicted: np.ndarray
    truth: np.ndarray
    loss: np.ndarray


def ask_model(model: NoiseFormer, rows: Sequence[Row], progress: Progress = silent) -> Answers:
    """Ask the network in PyTorch, float32."""

    def run(input_ids: np.ndarray, attention_mask: np.ndarray) -> np.ndarray:
        logits: np.ndarray = model(torch.from_numpy(input_ids), torch.from_numpy(attention_mask)).numpy()
        return logits

    def forward(batch: Sequence[Row]) -> np.ndarray:
        return run(*pad(batch, model.config.pad_token_id))

    return _collect(forward, rows, REFERENCE_BATCH, progress, "asking PyTorch")


def ask_artifact(
    artifact: Session | Decoder,
    bounds: Bounds,
    config: ModelConfig,
    rows: Sequence[Row],
    progress: Progress = silent,
) -> Answers:
    """Ask an artifact, a row at a time and in the shapes that it takes; a decoder, through its own cache.

    Larger batches would be faster where it takes them, but a range of activations that is found at run
    time would then be that of a batch, which no device sees.

    Raises:
        BadInput: rows are longer than the artifact takes.
    """
    too_long = sum(len(row.input_ids) > bounds.length for row in rows)
    if too_long:
        raise BadInput(f"{too_long} rows are longer than the {bounds.length} tokens that the artifact takes")
    length = None if bounds.dynamic_length else bounds.length

    def forward(batch: Sequence[Row]) -> np.ndarray:
        if isinstance(artifact, Decoder):
            return np.stack([step_by_step(artifact, row.input_ids) for row in batch])
        return artifact.run(*pad(batch, config.pad_token_id, length))

    return _collect(forward, rows, 1, progress, "asking the artifact")


def step_by_step(decoder: Decoder, tokens: Sequence[int], prefill: int = 0) -> np.ndarray:
    """Logits [n, V] after each token but the first `prefill`, which are fed as one piece."""
    if prefill:
        decoder.feed(tokens[:prefill], 0)
    return np.stack([decoder.feed([tokens[at]], at) for at in range(prefill, len(tokens))])


def pad(
    rows: Sequence[Row], pad_token_id: int | None, length: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`input_ids` and `attention_mask`, int64 [B, T], padded on the right to `length` or the longest row."""
    batch = collate(rows, pad_token_id)
    ids, mask = batch.input_ids.numpy(), batch.attention_mask.numpy()
    more = (length or ids.shape[1]) - ids.shape[1]
    widths = ((0, 0), (0, more))
    return np.pad(ids, widths, constant_values=pad_token_id or 0), np.pad(mask, widths)


def _collect(
    forward: Callable[[Sequence[Row]], np.ndarray],
    rows: Sequence[Row],
    size: int,
    progress: Progress,
    step: str,
) -> Answers:
    parts = []
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        parts += [_answer(logits, truth) for logits, truth in _answered(forward(batch), batch)]
        progress(step, start + len(batch), len(rows))
    return Answers(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _answered(logits: np.ndarray, rows: Sequence[Row]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Logits [q, C] and truth [q] of each question of each row."""
    for row_logits, row in zip(logits, rows, strict=True):
        if row_logits.ndim == 2:
            ids = np.array(row.input_ids)
            yield row_logits[: len(ids) - 1], ids[1:]
        else:
            yield row_logits[None], np.array([-1 if row.label is None else row.label])


def _answer(logits: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores = torch.from_numpy(logits.astype(np.float64))
    # Classes of −1 are ignored: their loss comes out as 0.
    loss = F.cross_entropy(scores, torch.from_numpy(truth), ignore_index=-1, reduction="none").numpy()
    return logits.argmax(axis=-1), truth, np.where(truth < 0, np.nan, loss)
