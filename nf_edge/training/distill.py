"""Distillation: a model learns what teachers say of texts, not the texts' labels (Hinton et al., 2015)."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.core.progress import Progress
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import answer, evaluate, label_loss
from nf_edge.training.loop import fit
from nf_edge.training.recipe import TrainingRecipe
from nf_edge.training.sources import TrainingData
from nf_edge.training.state import Validation


class Teachers(nn.Module):
    """Several classifiers as one, whose logits [B, labels] are the log of their mean probabilities.

    Args:
        weights: of each in the mean, of which only their ratios count.
        temperature: divides the logits of all, so that probabilities far from 1 tell more of them.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float], temperature: float) -> None:
        super().__init__()
        self._members, self._temperature = nn.ModuleList(members), temperature
        self._shares = [weight / sum(weights) for weight in weights]

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        answers = [
            (member(input_ids, attention_mask) / self._temperature).log_softmax(dim=-1) + math.log(share)
            for member, share in zip(self._members, self._shares, strict=True)
        ]
        return torch.stack(answers).logsumexp(dim=0)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross entropy of a model's probabilities and the teachers'; T² keeps the gradients' size."""
        logits = answer(model, batch) / self._temperature
        return F.cross_entropy(logits, answer(self, batch).exp()) * self._temperature**2


def train_teachers(
    recipe: TrainingRecipe,
    data: TrainingData,
    progress: Progress,
    on_validation: Callable[[str, Validation], None],
) -> Teachers | None:
    """Train the teachers of a recipe on its labelled rows; None where it has none.

    They take about a minute, so nothing is kept of one that is interrupted: the same seed makes it again.
    """
    if recipe.distill is None:
        return None
    teachers, members = recipe.distill.teachers, []
    for teacher, lesson in zip(teachers, data.lessons, strict=True):
        # The caller's random numbers are not disturbed by ours.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            model = teacher.build(recipe.model, lesson.vectors)
        state = fit(
            model,
            lesson.examples,
            partial(label_loss, smoothing=teacher.label_smoothing),
            partial(evaluate, examples=data.valid, batch_size=teacher.training.batch_size),
            teacher.training,
            recipe.seed,
            progress=partial(_named, progress, teacher.name),
            on_validation=partial(on_validation, teacher.name),
        )
        model.load_state_dict(state.best)
        members.append(model)
    weights = [teacher.weight for teacher in teachers]
    return Teachers(members, weights, recipe.distill.temperature).eval()


def _named(progress: Progress, name: str, step: str, done: int, total: int) -> None:
    progress(f"{step} {name}", done, total)
