"""The divergence between two models' predictions: flips and KL divergence, with intervals."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from nf_edge.core.intervals import clustered_mean, effective_count, wilson
from nf_edge.core.strict_json import number

# The fix for an artifact whose logits are not finite although the checkpoint's are.
OVERFLOWS = "the recipe's arithmetic overflows; use one that computes in float32, or that quantizes less"


@dataclass(frozen=True)
class Divergence:
    """The divergence of a model's predictions from a reference's, on the same questions.

    A question is a row, or a token of a language model.

    Attributes:
        questions: number of questions.
        flips: number of predictions that differ, or that are not finite.
        flips_interval: 95 % interval of flips / questions.
        kl: mean Kullback-Leibler divergence from the reference, in nats; infinite if a prediction is not
            finite.
        kl_interval: 95 % interval of `kl`; None for a single text, or if `kl` is infinite.
    """

    questions: int
    flips: int
    flips_interval: tuple[float, float]
    kl: float
    kl_interval: tuple[float, float] | None

    @classmethod
    def of(cls, flipped: np.ndarray, kl: np.ndarray, row: np.ndarray) -> "Divergence":
        """Compute the divergence over Q questions; questions of one row are correlated.

        Args:
            flipped: bool [Q], whether the prediction differs.
            kl: float64 [Q], in nats.
            row: int64 [Q], index of each question's row.
        """
        flips, effective = int(flipped.sum()), effective_count(flipped, row)
        mean, interval = clustered_mean(kl, row)
        if interval is not None:
            interval = max(0.0, interval[0]), interval[1]
        return cls(len(flipped), flips, wilson(flips * effective / len(flipped), effective), mean, interval)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"kl": number(self.kl)}


def not_finite_text(count: int, total: int, unit: str) -> str:
    """A message such as `3 of 100 rows have logits that are not finite`; `unit` is the noun."""
    return f"{count:,} of {total:,} {unit} have logits that are not finite"


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) in nats, from log probabilities float64 [..., C]: float64 [...]; infinite instead of NaN."""
    kl = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    # Rounding errors make some values slightly negative.
    return kl.clamp(min=0).nan_to_num(nan=torch.inf, posinf=torch.inf)


def labels_divergence(reference: Tensor, other: Tensor) -> Tensor:
    """KL(reference ‖ other) in nats for independent labels, summed over L labels.

    Logits are float64 [B, L], the result is float64 [B]; infinite if a logit is not finite.
    """
    sides = [torch.stack([logsigmoid(logits), logsigmoid(-logits)], dim=-1) for logits in (reference, other)]
    return kl_divergence(*sides).sum(dim=-1)


def divergence_of(pairs: Iterable[tuple[Tensor, Tensor]]) -> Divergence:
    """The divergence over all batches of logits.

    Args:
        pairs: (logits of the reference, logits of the other model): [B, C] for rows or [B, T, C] for texts.
    """
    flipped, divergences, row, rows = [], [], [], 0
    for reference, other in pairs:
        finite = other.isfinite().all(dim=-1)
        flipped.append(((reference.argmax(dim=-1) != other.argmax(dim=-1)) | ~finite).flatten())
        kl = kl_divergence(*(x.double().log_softmax(dim=-1) for x in (reference, other)))
        divergences.append(kl.flatten())
        row.append(torch.arange(rows, rows + len(kl)).repeat_interleave(kl[0].numel()))
        rows += len(kl)
    return Divergence.of(*(torch.cat(parts).numpy() for parts in (flipped, divergences, row)))
