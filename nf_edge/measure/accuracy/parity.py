"""Compare the logits of a lowered file with PyTorch's; every export does this."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from tempfile import TemporaryFile
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nf_edge.backends.base import Session
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.errors import AccuracyGate
from nf_edge.measure.accuracy.divergence import OVERFLOWS, not_finite_text
from nf_edge.measure.accuracy.last_logits import LastLogits
from nf_edge.measure.accuracy.predict import padded, step_by_step
from nf_edge.measure.accuracy.predictions import NOTHING, predicted
from nf_edge.model import CausalLM, Decoder, ModelConfig, NoiseFormer
from nf_edge.model.checkpoint import release_weights
from nf_edge.model.config import Task
from nf_edge.model.data.rows import Row, Rows
from nf_edge.model.data.sources import name_of
from nf_edge.model.finite import finite

SYNTHETIC_ROWS = 16
# Number of tokens at the end of a row that a decoder reads one by one.
STEPS = 16
# Bytes of PyTorch's logits that are computed before the artifact runs.
KEPT = 1 << 26


@dataclass(frozen=True)
class Parity:
    """The difference between the artifact's logits and PyTorch's float32 logits.

    Attributes:
        rows: the source of the inputs, or `synthetic` for random token ids.
        count: number of rows.
        not_finite: number of rows for which the artifact's logits are not finite.
        error: the largest difference of a logit / the largest logit; None if logits are not finite.
        agreement: share of rows with the same class, tokens or set of labels; None for a regression.
        limit: the largest `error` that passes; None: no limit.
        truncated: number of rows that were cut to the artifact's maximum length.
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
        """The reason why the artifact's logits are too far from PyTorch's; "" if they are close enough."""
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

    @property
    def failure(self) -> AccuracyGate | None:
        """The accuracy gate's error; None if the artifact passes."""
        if self.passed:
            return None
        fix = "raise limits.max_logit_error if the recipe quantizes; otherwise this is a bug of nf-edge"
        return AccuracyGate(self.problem, fix=OVERFLOWS if self.not_finite else fix)

    def to_json(self) -> dict[str, Any]:
        document = asdict(self)
        return document | {"truncated_rows": document.pop("truncated"), "passed": self.passed}


def synthetic_rows(config: ModelConfig, longest: int, seed: int = 0) -> list[Row]:
    """Rows of random token ids, with lengths from 1 to `longest`.

    Every other row ends in pad tokens, if the model ignores pad tokens at the end of a text.
    """
    random = np.random.default_rng(seed)
    rows = [random.integers(0, config.vocab_size, length) for length in _lengths(longest)]
    if config.pooled_token == "last_not_pad":
        for row in rows[1::2]:
            row[len(row) // 2 :] = config.pad_token_id
    return [Row(tuple(row.tolist()), None) for row in rows]


def _lengths(longest: int) -> list[int]:
    """Up to `SYNTHETIC_ROWS` different lengths from 1 to `longest`, each larger by about the same factor.

    Equal steps would give three times as many tokens of 1,024.
    """
    lengths = [1]
    for left in range(min(SYNTHETIC_ROWS, longest) - 1, 0, -1):
        factor = (longest / lengths[-1]) ** (1 / left)
        lengths.append(max(lengths[-1] + 1, round(lengths[-1] * factor)))
    return lengths


def measure_parity(
    reference: NoiseFormer,
    load: Callable[[], Session | Decoder],
    input_shape: InputShape,
    rows: Rows,
    limit: float | None,
) -> Parity:
    """Measure how much an artifact's logits differ from PyTorch's on the same rows.

    Rows are padded if the artifact needs a fixed length.  A decoder reads each row in one call, and then its
    last tokens again, one by one.

    Args:
        reference: the checkpoint's network in PyTorch, float32.
        load: loads the artifact.  It is called after the first runs of the network, so that a short check
            does not have the weights of both in memory.
        limit: the largest `Parity.error` that passes; None: no limit.

    Raises:
        BadInput: the reference's logits are not finite.
    """
    largest = difference = 0.0
    agreed, not_finite, task = 0, 0, reference.config.task
    for row, expected in _expected(reference, input_shape, rows):
        actual = _logits_of(load(), input_shape, row, reference.config.pad_token_id)
        agreed += _same_answer(expected, actual, task)
        if (predicted(actual) == NOTHING).any():
            not_finite += 1
        else:
            largest = max(largest, float(np.abs(expected).max()))
            difference = max(difference, float(np.abs(np.subtract(expected, actual, dtype=np.float64)).max()))
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


def _expected(
    reference: NoiseFormer, input_shape: InputShape, rows: Rows
) -> Iterator[tuple[Row, np.ndarray]]:
    """Yield each row with PyTorch's logits for it.

    Logits are computed until they fill `KEPT` bytes of a temporary file, and then yielded.  So the logits of
    only one row are in memory while the artifact runs.
    """
    network: nn.Module = reference
    if input_shape.cached and isinstance(reference, CausalLM):
        network = LastLogits(reference, STEPS + 1)
    with TemporaryFile() as file:
        kept = list[Row]()
        for number, row in enumerate(rows.rows):
            run = partial(finite, network, rows=rows.source, first=number)
            np.save(file, _expected_of(run, input_shape, row, reference.config.pad_token_id))
            kept.append(row)
            if file.tell() >= KEPT or number == len(rows.rows) - 1:
                release_weights(reference)
                file.seek(0)
                for each in kept:
                    yield each, np.load(file)
                file.seek(0)
                kept = []


def _expected_of(
    run: Callable[..., Tensor], input_shape: InputShape, row: Row, pad_token_id: int | None
) -> np.ndarray:
    """PyTorch's logits of a row, to compare with the artifact's: [C] for a class, [T, V] for T tokens.

    For a decoder, [n, V]: the logits after the complete row, then after each of the last `STEPS` tokens.

    Args:
        run: runs the network, and raises BadInput if logits are not finite.
        pad_token_id: the token that pads a row; None: 0.
    """
    length = len(row.input_ids)
    if input_shape.cached:
        last: np.ndarray = run(torch.tensor([row.input_ids]))[0].numpy()
        return np.concatenate([last[-1:], last[max(length - STEPS, 0) - length :]])
    ids, mask = padded(row, input_shape, pad_token_id)
    logits: np.ndarray = run(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()[0]
    # Logits at padded positions are undefined.
    return logits if logits.ndim == 1 else logits[:length]


def _logits_of(
    artifact: Session | Decoder, input_shape: InputShape, row: Row, pad_token_id: int | None
) -> np.ndarray:
    """The artifact's logits of a row, in the shape of PyTorch's.

    A decoder's first logits follow the complete row, which it reads in one call.  The other logits follow
    each of the last `STEPS` tokens, which it then reads again, one by one.

    Args:
        pad_token_id: the token that pads a row to a fixed length; None: 0.
    """
    length = len(row.input_ids)
    if isinstance(artifact, Decoder):
        at_once = artifact.feed(row.input_ids, 0)
        # The tokens before stay in the cache; the steps replace the others.
        before = max(length - STEPS, 0)
        return np.concatenate([at_once[None], step_by_step(artifact, row.input_ids, before)])
    logits = artifact.run(*padded(row, input_shape, pad_token_id))[0]
    return logits if logits.ndim == 1 else logits[:length]


def _same_answer(expected: np.ndarray, actual: np.ndarray, task: Task) -> bool:
    """Whether the expected and the actual logits of a row give the same predictions.

    False if `actual` is not finite.
    """
    answers = predicted(actual)
    if task == "multi-label classification":
        return bool((answers != NOTHING).all() and ((expected > 0) == (actual > 0)).all())
    return bool((predicted(expected) == answers).all())
