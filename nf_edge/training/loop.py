"""The training loop, shared by first training, recovery and quantization-aware training."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from nf_edge.core.errors import BadInput
from nf_edge.core.progress import Progress, silent
from nf_edge.model.data import Batch
from nf_edge.model.finite import NotFinite
from nf_edge.training.evaluate import Evaluation
from nf_edge.training.examples import Examples
from nf_edge.training.optimizer import adamw, learning_rate_share
from nf_edge.training.order import STEP, Order, seed_of
from nf_edge.training.settings import Settings
from nf_edge.training.state import State, Validation, load_state, save_state

Loss = Callable[[nn.Module, Batch], Tensor]


@dataclass(frozen=True)
class Resumable:
    """The file that an interrupted training resumes from, and a check that the training is the same.

    Attributes:
        path: the file for the state of `fit`.
        fingerprint: a hash of everything that must be equal to resume from that state.
    """

    path: Path
    fingerprint: str


def fit(
    model: nn.Module,
    examples: Examples,
    loss: Loss,
    validate: Callable[[nn.Module], Evaluation],
    settings: Settings,
    seed: int,
    *,
    resumable: Resumable | None = None,
    progress: Progress = silent,
    on_validation: Callable[[Validation], None] = lambda validation: None,
) -> State:
    """Train the parameters of a model that require gradients, in place.

    Each step depends only on the weights, the optimizer, `seed` and the step's number.  So a resumed training
    gives the same bits as an uninterrupted one on the same machine.

    Args:
        loss: function that returns the loss of the model on a batch, a scalar.
        validate: function that is called every `settings.validate_every` steps and after the last step.
        resumable: the file to save states in; if the file exists, training resumes from it.  None: no state
            is saved.

    Returns:
        The final state; `best` has the tensors of the best validation.

    Raises:
        BadInput: the loss became NaN or infinite, or the state belongs to another training.
    """
    optimizer = adamw(model, settings.optimizer)
    state = State()
    if resumable is not None and resumable.path.exists():
        state = load_state(resumable.path, resumable.fingerprint, model, optimizer)
    order = Order(examples, settings.batch_size, settings.bucket, seed)
    model.train()
    began = time.monotonic() - state.seconds
    # Leave the caller's random generator unchanged.
    with torch.random.fork_rng(devices=[]):
        for step in range(state.step, settings.steps):
            torch.manual_seed(seed_of(seed, STEP, step))
            _step(model, optimizer, loss, examples.batch(order[step]), settings, step)
            state.step = step + 1
            progress("train", state.step, settings.steps)
            if state.step % settings.validate_every == 0 or state.step == settings.steps:
                _validate(model, validate, state)
                state.seconds = time.monotonic() - began
                on_validation(state.validations[-1])
                if resumable is not None:
                    save_state(resumable.path, resumable.fingerprint, state, model, optimizer)
    model.eval()
    return state


def best_validation(state: State) -> Validation:
    """The validation with the best score, the first of several equal ones.  `State.best` has its tensors."""
    return max(state.validations, key=lambda validation: validation.evaluation.rank)


def _step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    batch: Batch,
    settings: Settings,
    step: int,
) -> None:
    share = learning_rate_share(step, settings.steps, settings.schedule)
    for group in optimizer.param_groups:
        group["lr"] = settings.optimizer.learning_rate * share
    optimizer.zero_grad()
    value = loss(model, batch)
    if not math.isfinite(value.item()):
        raise _divergence_error(f"the loss is {value.item()}", step + 1)
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), settings.optimizer.gradient_clip)
    optimizer.step()


def _divergence_error(reason: str, step: int) -> BadInput:
    return BadInput(
        f"training diverged at step {step}, because {reason}",
        fix="lower optimizer.learning_rate, or raise schedule.warmup_steps",
    )


def _validate(model: nn.Module, validate: Callable[[nn.Module], Evaluation], state: State) -> None:
    before = best_validation(state).evaluation.rank if state.validations else None
    try:
        validation = Validation(state.step, validate(model))
    except NotFinite as error:
        raise _divergence_error(error.what, state.step) from error
    state.validations.append(validation)
    if before is None or validation.evaluation.rank > before:
        state.best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
