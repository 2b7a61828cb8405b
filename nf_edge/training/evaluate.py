"""Training losses, and a model's scores on examples, with confidence intervals."""

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
    """The score of a model on `count` examples (rows, or blocks of text).

    Attributes:
        loss: mean cross entropy in nats (per token for a language model), or mean squared error.
        standard_error: standard error of `loss` over examples; None for a single example.
        correct: number of rows whose label has the largest logit; None unless the metric is accuracy.
    """

    metric: Metric
    count: int
    loss: float
    standard_error: float | None
    correct: int | None

    @property
    def score(self) -> float:
        """The value of the metric: accuracy as a share, perplexity, or the loss."""
        if self.correct is not None:
            return self.correct / self.count
        return exp(self.loss) if self.metric == "perplexity" else self.loss

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the score; None for a single example, unless the score is an accuracy.

        Accuracy has Wilson's interval.  Other scores have the interval of the loss ± 1.96 standard errors.
        """
        if self.correct is not None:
            return wilson(self.correct, self.count)
        if self.standard_error is None:
            return None
        low, high = self.loss - Z * self.standard_error, self.loss + Z * self.standard_error
        return (exp(low), exp(high)) if self.metric == "perplexity" else (max(low, 0.0), high)

    @property
    def rank(self) -> tuple[float, float]:
        """A sort key; larger is better.  Models with equal accuracy are ordered by loss."""
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
    """The loss of every example, float [B].

    - Logits [B, L] and classes int64 [B]: cross entropy.
    - Logits [B, T, V] and ids int64 [B, T]: mean cross entropy over tokens.
    - Logits [B, 1] and numbers float [B]: squared error, without label smoothing.
    """
    if labels.is_floating_point():
        return (logits[:, 0] - labels).square()
    losses = F.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(len(labels), -1).mean(dim=1)


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    """The model's logits for a batch.

    A batch without padding is run without a mask, which takes a fifth less time.
    """
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    return model(batch.input_ids, mask)


def finite_logits(model: nn.Module, batch: Batch, rows: str, first: int) -> Tensor:
    """The model's logits for a batch; refuses NaN and Inf.

    Args:
        rows: the name of the data for the message.
        first: index of the batch's first row in the data, from 0.

    Raises:
        NotFinite: the output of a module is not finite.
    """
    mask = None if bool(batch.attention_mask.all()) else batch.attention_mask
    return finite(model, batch.input_ids, mask, rows=rows, first=first)


def label_loss(model: nn.Module, batch: Batch, smoothing: float = 0.0) -> Tensor:
    """The mean loss of a model on a labelled batch, a scalar."""
    assert batch.labels is not None
    return example_losses(logits_of(model, batch), batch.labels, smoothing).mean()


@torch.no_grad()
def evaluate(model: nn.Module, examples: Examples, batch_size: int) -> Evaluation:
    """Score a model on all examples, in inference mode.

    Raises:
        NotFinite: the model's outputs or its loss are not finite.
    """
    was_training = model.training
    model.eval()
    losses, correct = [], []
    for start in range(0, len(examples), batch_size):
        batch = examples.batch(range(start, min(start + batch_size, len(examples))))
        assert batch.labels is not None
        logits = finite_logits(model, batch, "the evaluation data", start)
        losses.append(example_losses(logits, batch.labels))
        if batch.labels.dim() == 1 and not batch.labels.is_floating_point():
            correct.append(logits.argmax(dim=-1) == batch.labels)
        metric: Metric = _metric(batch.labels)
    model.train(was_training)
    every = torch.cat(losses).double()
    if not every.isfinite().all():
        fix = "correct or retrain the checkpoint, whose weights are too large"
        raise NotFinite("the loss is not finite", where=getattr(model, "origin", None), fix=fix)
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
