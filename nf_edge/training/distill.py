"""Distillation: a model learns the teachers' probabilities instead of labels (Hinton et al., 2015)."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.core.progress import Progress
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import evaluate, label_loss, logits_of
from nf_edge.training.loop import fit
from nf_edge.training.recipe import TrainingRecipe
from nf_edge.training.sources import TrainingData
from nf_edge.training.state import Validation


class Teachers(nn.Module):
    """Several classifiers as one network; its logits [B, labels] are the log of their mean probabilities.

    Args:
        weights: weight of each classifier in the mean; only their ratios matter.
        temperature: divides all logits, which increases the influence of small probabilities.
    """

    def __init__(self, members: Sequence[nn.Module], weights: Sequence[float], temperature: float) -> None:
        super().__init__()
        self._members, self._temperature = nn.ModuleList(members), temperature
        self._shares = [weight / sum(weights) for weight in weights]

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        log_shares = [
            (member(input_ids, attention_mask) / self._temperature).log_softmax(dim=-1) + math.log(share)
            for member, share in zip(self._members, self._shares, strict=True)
        ]
        return torch.stack(log_shares).logsumexp(dim=0)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean cross entropy of the model's predictions with the teachers' probabilities, a scalar.

        It is multiplied by T² (T: temperature), so the gradients have the same size at each temperature.
        """
        logits = logits_of(model, batch) / self._temperature
        return F.cross_entropy(logits, logits_of(self, batch).exp()) * self._temperature**2


def train_teachers(
    recipe: TrainingRecipe,
    data: TrainingData,
    progress: Progress,
    on_validation: Callable[[str, Validation], None],
) -> Teachers | None:
    """Train the teachers of a recipe on its labelled rows; None if it has no teachers.

    This takes about a minute, so no state is saved.  After an interruption the teachers are trained again.
    """
    if recipe.distill is None:
        return None
    teachers, members = recipe.distill.teachers, []
    for teacher, lesson in zip(teachers, data.lessons, strict=True):
        # Leave the caller's random generator unchanged.
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
