"""Recovery: train the pruned model to reproduce the original model's predictions (distillation)."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.core.progress import Progress
from nf_edge.core.recipe.prune import Recover
from nf_edge.model import NoiseFormer
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import evaluate, example_losses, logits_of
from nf_edge.training.examples import Examples
from nf_edge.training.loop import Resumable, fit
from nf_edge.training.settings import Optimizer, Schedule, Settings
from nf_edge.training.state import State, Validation

# The suffix of the state file of an unfinished recovery of OUT.
STATE_SUFFIX = ".recovery"


class OriginalNetwork(nn.Module):
    """The original model; its inputs are token ids of the pruned model.

    Args:
        kept: int64 [V'], the original id of each id of the pruned model.
    """

    def __init__(self, model: NoiseFormer, kept: Tensor) -> None:
        super().__init__()
        self._model, self._kept = model, kept
        self.transformer, self.task = model.transformer, model.config.task

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Logits in the pruned model's shape; a language model's logits cover only the kept tokens."""
        logits: Tensor = self._model(self._kept[input_ids], attention_mask)
        return logits[..., self._kept] if self._model.config.is_language_model else logits


def recover(
    model: NoiseFormer,
    original: OriginalNetwork,
    train: Examples,
    valid: Examples,
    settings: Recover,
    seed: int,
    *,
    resumable: Resumable,
    progress: Progress,
    on_validation: Callable[[Validation], None],
) -> State:
    """Train the parameters of a pruned model that require gradients, in place.

    Returns:
        The final state; `best` has the tensors of the best validation.

    Raises:
        BadInput: the loss became NaN or infinite, or the saved state belongs to another recovery.
    """
    loss = _Loss(original, settings)
    return fit(
        model,
        train,
        loss,
        lambda model: evaluate(model, valid, settings.batch_size),
        Settings(
            steps=settings.steps,
            batch_size=settings.batch_size,
            validate_every=settings.validate_every,
            optimizer=Optimizer(learning_rate=settings.learning_rate, weight_decay=settings.weight_decay),
            schedule=Schedule(warmup_steps=min(100, settings.steps // 100)),
        ),
        seed,
        resumable=resumable,
        progress=progress,
        on_validation=on_validation,
    )


class _Loss:
    """The loss of recovery, a scalar.

    It is the cross entropy with the original's probabilities, plus weighted terms for hidden states and
    labels.
    """

    def __init__(self, original: OriginalNetwork, settings: Recover) -> None:
        self._original, self._settings = original, settings

    def __call__(self, model: nn.Module, batch: Batch) -> Tensor:
        settings, t = self._settings, self._settings.temperature
        hidden: list[Tensor] = []
        hooks = [
            each.get_submodule("transformer").register_forward_hook(
                lambda module, args, output: hidden.append(output)
            )
            for each in (model, self._original)
        ]
        try:
            logits, expected = logits_of(model, batch), logits_of(self._original, batch)
        finally:
            for hook in hooks:
                hook.remove()
        if self._original.task == "regression":  # the outputs of a regression are not a distribution
            loss = (logits - expected).square().mean()
        else:
            flat, target = logits.flatten(0, -2), expected.flatten(0, -2)
            loss = F.cross_entropy(flat / t, (target / t).softmax(dim=-1)) * t**2
        if settings.hidden:
            loss = loss + settings.hidden * _distance(hidden[0], hidden[1], batch.attention_mask)
        if settings.labels:
            assert batch.labels is not None
            loss = loss + settings.labels * example_losses(logits, batch.labels).mean()
        return loss


def _distance(hidden: Tensor, expected: Tensor, attention_mask: Tensor) -> Tensor:
    """The mean squared difference of hidden states [B, T or 1, D], divided by the variance of the expected
    ones.
    """
    if expected.shape[1] == attention_mask.shape[1]:
        real = attention_mask.bool()
        hidden, expected = hidden[real], expected[real]
    return F.mse_loss(hidden, expected) / expected.var()


def state_file(out: Path) -> Path:
    """The file that keeps the state of an unfinished recovery."""
    return out.parent / (out.name + STATE_SUFFIX)
