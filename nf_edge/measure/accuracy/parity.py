"""Logits of the lowered file beside PyTorch's: compared at every export."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import AccuracyGate
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.predictions import NOTHING, pad, predicted, step_by_step
from nf_edge.model import Decoder, ModelConfig, NoiseFormer
from nf_edge.model.config import Task
from nf_edge.model.data.rows import Row, Rows
from nf_edge.model.data.sources import name_of
from nf_edge.model.finite import finite

SYNTHETIC_ROWS = 16
# Tokens of a row, its last ones, that a decoder is fed one by one.
STEPS = 16


@dataclass(frozen=True)
class Parity:
    """How far the artifact's logits are from PyTorch's float32 ones.

    Attributes:
        rows: what the inputs were: a source of data, or `synthetic` for random token ids.
        not_finite: rows to which the artifact's logits are not finite.
        error: the largest difference of a logit, as a share of the largest logit; None where `not_finite`.
        agreement: share of rows with the same answer: the same largest logit, or the same labels of several;
            None of a regression, whose numbers are never quite the same.
        limit: what `error` must not exceed; None: no limit.
        truncated: rows that were cut to the length that the artifact takes.
    """

    rows: str
    count: int
    not_finite: int
    error: float | None
    agreement: float | None
    limit: float | None
    truncated: int = 0

    @property
    def problem(self) -> str:
        """Why it does not pass, limit or not; "" where it does."""
        if self.error is None:
            return not_finite_text(self.not_finite, self.count, "rows")
        if self.limit is not None and not self.error <= self.limit:
            return (
                f"logits differ from PyTorch's by {self.error:.2g} of the largest logit, "
                f"more than the {self.limit:g} allowed"
            )
        return ""

    @property
    def passed(self) -> bool:
        return not self.problem

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        return document | {"truncated_rows": document.pop("truncated"), "passed": self.passed}


def synthetic_rows(config: ModelConfig, longest: int, seed: int = 0) -> list[Row]:
    """Random token ids of lengths from 1 to `longest`, both among them; where pad tokens at the end of a text
    are passed over, every other row ends in some."""
    random = np.random.default_rng(seed)
    lengths = np.linspace(1, longest, min(SYNTHETIC_ROWS, longest)).astype(int)
    rows = [random.integers(0, config.vocab_size, length) for length in lengths]
    if config.pooled_token == "last_not_pad":
        for row in rows[1::2]:
            row[len(row) // 2 :] = config.pad_token_id
    return [Row(tuple(row.tolist()), None) for row in rows]


def measure_parity(
    reference: NoiseFormer,
    artifact: Session | Decoder,
    input_shape: InputShape,
    rows: Rows,
    limit: float | None,
) -> Parity:
    """Run both on the same inputs, in the shapes that the artifact takes.

    A decoder is fed each row twice: as one piece, and its last tokens one by one upon those before them.

    Args:
        reference: the network in PyTorch, float32, as it was trained.

    Raises:
        BadInput: the reference's own answers are not finite.
    """
    largest = difference = 0.0
    agreed, not_finite, task = 0, 0, reference.config.task
    for number, row in enumerate(rows.rows):
        ask = partial(finite, reference, rows=rows.source, first=number)
        if isinstance(artifact, Decoder):
            wanted, found = _from_decoder(ask, artifact, row)
        else:
            wanted, found = _from_session(ask, artifact, input_shape, row, reference.config.pad_token_id)
        agreed += _same_answer(wanted, found, task)
        if (predicted(found) == NOTHING).any():
            not_finite += 1
        else:
            largest = max(largest, float(np.abs(wanted).max()))
            difference = max(difference, float(np.abs(np.subtract(wanted, found, dtype=np.float64)).max()))
    error = difference / largest if largest else difference
    count = len(rows.rows)
    return Parity(
        name_of(rows.source),
        count,
        not_finite,
        None if not_finite else error,
        None if task == "regression" else agreed / count,
        limit,
        rows.truncated,
    )


def _same_answer(wanted: np.ndarray, found: np.ndarray, task: Task) -> bool:
    """Whether both say the same, where `found` is finite."""
    answers = predicted(found)
    if task == "multi-label classification":
        return bool((answers != NOTHING).all() and ((wanted > 0) == (found > 0)).all())
    return bool((predicted(wanted) == answers).all())


def _from_session(
    ask: Callable[..., Tensor], session: Session, input_shape: InputShape, row: Row, pad_token_id: int | None
) -> tuple[np.ndarray, np.ndarray]:
    ids, mask = pad([row], pad_token_id, None if input_shape.dynamic_length else input_shape.length)
    wanted = ask(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()[0]
    found = session.run(ids, mask)[0]
    if wanted.ndim == 1:
        return wanted, found
    # What a model says at padded positions is unspecified.
    real = len(row.input_ids)
    return wanted[:real], found[:real]


def _from_decoder(ask: Callable[..., Tensor], decoder: Decoder, row: Row) -> tuple[np.ndarray, np.ndarray]:
    whole = ask(torch.tensor([row.input_ids]))[0].numpy()
    before = max(len(row.input_ids) - STEPS, 0)
    wanted = np.concatenate([whole[-1:], whole[before:]])
    in_one_piece = decoder.feed(row.input_ids, 0)
    if before:
        decoder.feed(row.input_ids[:before], 0)
    return wanted, np.concatenate([in_one_piece[None], step_by_step(decoder, row.input_ids, before)])


def enforce_parity(parity: Parity) -> None:
    """Raises AccuracyGate where the artifact's logits are not finite, or further from PyTorch's than the
    limit."""
    if parity.not_finite:
        raise AccuracyGate(parity.problem, fix=OVERFLOWS)
    if not parity.passed:
        raise AccuracyGate(
            parity.problem,
            fix="for a quantized recipe, raise limits.max_logit_error; an fp32 artifact that fails is a bug",
        )
