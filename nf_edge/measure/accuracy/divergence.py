"""How far the answers of one model are from another's: flips and KL divergence, with intervals."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nf_edge.core.intervals import clustered_mean, effective_count, wilson
from nf_edge.core.strict_json import number

# What to do about an artifact whose logits are not finite where the checkpoint's are.
OVERFLOWS = "what it computes with overflows: use a recipe that computes in float32, or that quantizes less"


@dataclass(frozen=True)
class Divergence:
    """Of `questions` answers, next tokens or rows.

    Attributes:
        flips: answers whose largest logit is another's, or that are not finite.
        flips_interval: of their share, 95 %.
        kl: mean Kullback-Leibler divergence of the answer from the reference's, in nats; infinite where an
            answer is not finite.
        kl_interval: 95 %; None where one text is all that was asked, and where `kl` is infinite.
    """

    questions: int
    flips: int
    flips_interval: tuple[float, float]
    kl: float
    kl_interval: tuple[float, float] | None

    @classmethod
    def of(cls, flipped: np.ndarray, kl: np.ndarray, row: np.ndarray) -> "Divergence":
        """Of Q questions, of which those of one row are not independent of each other.

        Args:
            flipped: bool [Q].
            kl: float64 [Q], in nats.
            row: int64 [Q], the row that each is of.
        """
        flips, effective = int(flipped.sum()), effective_count(flipped, row)
        mean, interval = clustered_mean(kl, row)
        if interval is not None:
            interval = max(0.0, interval[0]), interval[1]
        return cls(len(flipped), flips, wilson(flips * effective / len(flipped), effective), mean, interval)

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"kl": number(self.kl)}


def not_finite_text(count: int, total: int, unit: str) -> str:
    """`3 of 100 rows have logits that are not finite`."""
    return f"{count:,} of {total:,} {unit} have logits that are not finite"


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p ‖ q) [...] in nats, of log probabilities float64 [..., C]; infinite where one is not a number."""
    found = (log_p.exp() * (log_p - log_q)).sum(dim=-1)
    # Rounding makes some of them a hair less than nothing.
    return found.clamp(min=0).nan_to_num(nan=torch.inf, posinf=torch.inf)


def divergence_of(pairs: Iterable[tuple[Tensor, Tensor]]) -> Divergence:
    """Of pairs of logits [B, C], or [B, T, C] of texts: the reference's, and those of what replaces it."""
    flipped, divergences, row, rows = [], [], [], 0
    for reference, other in pairs:
        answered = other.isfinite().all(dim=-1)
        flipped.append(((reference.argmax(dim=-1) != other.argmax(dim=-1)) | ~answered).flatten())
        kl = kl_divergence(*(x.double().log_softmax(dim=-1) for x in (reference, other)))
        divergences.append(kl.flatten())
        row.append(torch.arange(rows, rows + len(kl)).repeat_interleave(kl[0].numel()))
        rows += len(kl)
    return Divergence.of(*(torch.cat(parts).numpy() for parts in (flipped, divergences, row)))
