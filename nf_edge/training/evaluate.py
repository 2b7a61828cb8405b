"""Losses, and the score of a model on examples, with its uncertainty."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.core.intervals import Z, exp, wilson
from nf_edge.core.strict_json import number
from nf_edge.model.data import Batch
from nf_edge.model.finite import NotFinite, finite
from nf_edge.training.examples import Examples

Metric = Literal["accuracy", "perplexity", "mean squared error"]


@dataclass(frozen=True)
class Evaluation:
    """How a model answers `count` examples (rows, or blocks of text).

    Attributes:
        loss: mean cross entropy in nats (of a token, for a language model), or mean squared error.
        standard_error: of `loss`, over examples; None of a single one.
        correct: number of rows whose label has the largest logit; None unless the metric is accuracy.
    """

    metric: Metric
    count: int
    loss: float
    standard_error: float | None
    correct: int | None

    @property
    def score(self) -> float:
        """The metric's value."""
        if self.correct is not None:
            return self.correct / self.count
        return exp(self.loss) if self.metric == "perplexity" else self.loss

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the score: Wilson's for a share, else of the loss ±1.96 standard errors."""
        if self.correct is not None:
            return wilson(self.correct, self.count)
        if self.standard_error is None:
            return None
        low, high = self.loss - Z * self.standard_error, self.loss + Z * self.standard_error
        return (exp(low), exp(high)) if self.metric == "perplexity" else (max(low, 0.0), high)

    @property
    def rank(self) -> tuple[float, float]:
        """Larger is better; equal accuracies, common on few rows, are told apart by their loss."""
        return (self.correct or 0, -self.loss)

    def to_json(self) -> dict[str, Any]:
        interval = None if self.interval is None else [number(bound) for bound in self.interval]
        return {**asdict(self), "score": number(self.score), "interval_95": interval}

    def __str__(self) -> str:
        factor, unit = (100, " %") if self.correct is not None else (1, "")
        count = f"{self.count}" if self.correct is None else f"{self.correct} of {self.count}"
        text = f"{self.metric} {factor * self.score:.4g}{unit} ({count})"
        if self.interval is None:
            return text
        low, high = self.interval
        return f"{text}, 95 % interval {factor * low:.4g} to {factor * high:.4g}{unit}"


def example_losses(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """The loss of every example, [B].

    Cross entropy of logits [B, L] and classes int64 [B]; its mean over tokens for logits [B, T, V] and
    ids int64 [B, T]; squared error for logits [B, 1] and numbers float [B], which nothing smooths.
    """
    if labels.is_floating_point():
        return (logits[:, 0] - labels).square()
    losses = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(len(labels), -1).mean(dim=1)


def answer(model: nn.Module, batch: Batch) -> Tensor:
    """The model's logits; a batch without padding is computed, a fifth faster, without a mask."""
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    return model(batch.input_ids, mask)


def finite_answer(model: nn.Module, batch: Batch, rows: str, first: int) -> Tensor:
    """`answer`, which has to be finite; `rows` and `first` are as `model.finite.finite` takes them."""
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    return finite(model, batch.input_ids, mask, rows=rows, first=first)


def label_loss(model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """The mean loss of a model on a batch with labels, a scalar."""
    assert batch.labels is not None
    return example_losses(answer(model, batch), batch.labels, smoothing).mean()


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, batch_size: int) -> Evaluation:
    """Score a model, in inference mode, on all examples.

    Raises:
        NotFinite: its answers are not finite, or its loss is not.
    """
    was_training = model.training
    model.eval()
    losses, correct = [], []
    for start in range(0, len(examples), batch_size):
        batch = examples.batch(range(start, min(start + batch_size, len(examples))))
        assert batch.labels is not None
        logits = finite_answer(model, batch, "the rows that it is scored on", start)
        losses.append(example_losses(logits, batch.labels))
        if batch.labels.dim() == 1 and not batch.labels.is_floating_point():
            correct.append(logits.argmax(dim=-1) == batch.labels)
        metric: Metric = _metric(batch.labels)
    model.train(was_training)
    every = torch.cat(losses).double()
    if not every.isfinite().all():
        raise NotFinite("its loss is not finite", where=getattr(model, "origin", None))
    return Evaluation(
        metric=metric,
        count=len(every),
        loss=every.mean().item(),
        standard_error=(every.std() / math.sqrt(len(every))).item() if len(every) > 1 else None,
        correct=int(torch.cat(correct).sum()) if correct else None,
    )


def _metric(labels: Tensor) -> Metric:
    if labels.is_floating_point():
        return "mean squared error"
    return "accuracy" if labels.dim() == 1 else "perplexity"
