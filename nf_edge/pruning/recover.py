"""Training a pruned model to say what the whole one says."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nf_edge.core.progress import Progress
from nf_edge.core.recipe.prune import Recover
from nf_edge.model import NoiseFormer
from nf_edge.model.data import Batch
from nf_edge.training.evaluate import answer, evaluate, example_losses
from nf_edge.training.examples import Examples
from nf_edge.training.loop import Resumable, fit
from nf_edge.training.settings import Optimizer, Schedule, Settings
from nf_edge.training.state import State, Validation

# Names of the states of an unfinished recovery, beside the checkpoint that it is for.
STATE_SUFFIX = ".recovery"


class OriginalNetwork(nn.Module):
    """The whole model, asked in the ids of the pruned one.

    Args:
        kept: int64 [V'], the whole model's id of each of the pruned one's.
    """

    def __init__(self, model: NoiseFormer, kept: Tensor) -> None:
        super().__init__()
        self._model, self._kept = model, kept
        self.transformer, self.task = model.transformer, model.config.task

    @torch.no_grad()
    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """What the pruned model gives: a language model's logits are those of the tokens that stay."""
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
    """Train a pruned model in place, as far as its parameters require gradients; the best of its validations
    is in the state.

    Raises:
        BadInput: the loss is no longer finite, or the state is of another recovery.
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
    """Cross entropy with the whole model's probabilities, the distance of hidden states, and of labels."""

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
            logits, wanted = answer(model, batch), answer(self._original, batch)
        finally:
            for hook in hooks:
                hook.remove()
        if self._original.task == "regression":  # its outputs are no distribution
            loss = (logits - wanted).square().mean()
        else:
            flat, target = logits.flatten(0, -2), wanted.flatten(0, -2)
            loss = F.cross_entropy(flat / t, (target / t).softmax(dim=-1)) * t**2
        if settings.hidden:
            loss = loss + settings.hidden * _distance(hidden[0], hidden[1], batch.attention_mask)
        if settings.labels:
            assert batch.labels is not None
            loss = loss + settings.labels * example_losses(logits, batch.labels).mean()
        return loss


def _distance(hidden: Tensor, wanted: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean square of the difference of [B, T or 1, D], as a share of the wanted one's variance."""
    if wanted.shape[1] == attention_mask.shape[1]:
        real = attention_mask.bool()
        hidden, wanted = hidden[real], wanted[real]
    return F.mse_loss(hidden, wanted) / wanted.var()


def state_file(out: Path) -> Path:
    """Where the state of an unfinished recovery is."""
    return out.parent / (out.name + STATE_SUFFIX)
