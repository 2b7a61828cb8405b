"""Distillation: a model learns what teachers say of texts, not the texts' labels (Hinton et al., 2015)."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.data import Batch
from nf_edge.progress import Progress
from nf_edge.training.evaluate import answer, evaluate, label_loss
from nf_edge.training.loop import fit
from nf_edge.training.ngrams import NgramClassifier
from nf_edge.training.recipe import TrainingRecipe
from nf_edge.training.sources import TrainingData
from nf_edge.training.state import Validation


class Teachers(nn.Module):
    """Several classifiers as one, whose logits [B, labels] are the log of their mean probabilities.

    Args:
        temperature: divides the logits of all, so that probabilities far from 1 tell more of them.
    """

    def __init__(self, members: Sequence[nn.Module], temperature: float) -> None:
        super().__init__()
        self._members, self._temperature = nn.ModuleList(members), temperature

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        answers = [member(input_ids, attention_mask) / self._temperature for member in self._members]
        return torch.stack(answers).log_softmax(dim=-1).logsumexp(dim=0) - math.log(len(answers))

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

    They take seconds, so nothing is kept of one that is interrupted: the same seed makes it again.
    """
    if recipe.distill is None:
        return None
    settings, members = recipe.distill.training, []
    for longest in recipe.distill.ngrams:
        teacher = NgramClassifier(longest, recipe.model.num_labels or 0)
        state = fit(
            teacher,
            data.train,
            label_loss,
            lambda model: evaluate(model, data.valid, settings.batch_size),
            settings,
            recipe.seed,
            progress=partial(_named, progress, longest),
            on_validation=partial(on_validation, f"{longest}-grams"),
        )
        teacher.load_state_dict(state.best)
        members.append(teacher)
    return Teachers(members, recipe.distill.temperature).eval()


def _named(progress: Progress, longest: int, step: str, done: int, total: int) -> None:
    progress(f"{step} {longest}-grams", done, total)
