"""How far the answers of one model are from another's: flips and KL divergence, with intervals."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from nf_edge.intervals import Z, wilson


@dataclass(frozen=True)
class Faithfulness:
    """Of `questions` answers, next tokens or rows.

    Attributes:
        flips: answers whose largest logit is another's.
        flips_interval: of their share, 95 %.
        kl: mean Kullback-Leibler divergence of the answer from the reference's, in nats.
        kl_interval: 95 %, over questions.
    """

    questions: int
    flips: int
    flips_interval: tuple[float, float]
    kl: float
    kl_interval: tuple[float, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def faithfulness(pairs: Iterable[tuple[Tensor, Tensor]]) -> Faithfulness:
    """Of pairs of logits [..., C]: the reference's, and those of what stands in for it."""
    flipped, divergences = 0, []
    for reference, other in pairs:
        flipped += int((reference.argmax(dim=-1) != other.argmax(dim=-1)).sum())
        log_p, log_q = (x.double().log_softmax(dim=-1) for x in (reference, other))
        # Rounding makes some of them a hair less than nothing.
        divergences.append((log_p.exp() * (log_p - log_q)).sum(dim=-1).clamp(min=0).flatten())
    every = torch.cat(divergences)
    mean = every.mean().item()
    error = every.std().item() / len(every) ** 0.5 if len(every) > 1 else 0.0
    return Faithfulness(
        len(every),
        flipped,
        wilson(flipped, len(every)),
        mean,
        (max(0.0, mean - Z * error), mean + Z * error),
    )
