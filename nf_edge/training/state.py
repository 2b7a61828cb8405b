"""The state of an unfinished training: one safetensors file, replaced atomically at every validation."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.files import staged_file
from nf_edge.model.safetensors_file import read_safetensors_file
from nf_edge.training.evaluate import Evaluation


@dataclass(frozen=True)
class Validation:
    """The score on validation data after `step` steps."""

    step: int
    evaluation: Evaluation


@dataclass
class State:
    """The progress of a training, without the current weights and the optimizer's state.

    Attributes:
        step: number of steps done.
        seconds: wall time of those steps and their validations.
        validations: all validations so far, in order.
        best: the model's tensors at its best validation.
    """

    step: int = 0
    seconds: float = 0.0
    validations: list[Validation] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class _Document:
    """The metadata of a state file: everything that is not a tensor."""

    fingerprint: str
    step: int
    seconds: float
    validations: list[Validation]


def check_states(paths: Sequence[Path], what: str, *, resume: bool, overwrite: bool) -> None:
    """Check that existing state files agree with the options; delete the files if `overwrite` requires it.

    Args:
        what: "training" or "recovery", for messages.
        resume: the existing states are kept, to continue from them.
        overwrite: the existing states are deleted, unless `resume` is set.

    Raises:
        BadInput: `resume` is set but there is no state; or a state exists and neither option is set.
    """
    unfinished = [path for path in paths if path.exists()]
    if resume and not unfinished:
        raise BadInput(f"there is no {what} to resume", where=paths[0], fix="remove --resume")
    if unfinished and not resume:
        if not overwrite:
            raise BadInput(
                f"contains the state of an interrupted {what}",
                where=unfinished[0],
                fix="give --resume to continue it, or --overwrite to start again",
            )
        for path in unfinished:
            path.unlink()


def save_state(
    path: Path, fingerprint: str, state: State, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write the progress, the model and the optimizer of a training to a file, atomically."""
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
    document = _Document(fingerprint, state.step, state.seconds, state.validations)
    text = strict_json.dumps(asdict(document), indent=None)
    # Copies, because safetensors refuses tensors with shared memory, such as a tied head.
    copies = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    with staged_file(path, overwrite=True) as new:
        save_file(copies, new, metadata={"state": text, "sha256": _digest(text, copies)})


def load_state(path: Path, fingerprint: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """Restore the model and the optimizer from a file, in place; return the progress of the training.

    Raises:
        BadInput: the file is damaged, or belongs to a training with another fingerprint.
    """
    try:
        file = read_safetensors_file(path)
        text, tensors = file.metadata.get("state", ""), file.tensors
        if file.metadata.get("sha256") != _digest(text, tensors):
            raise ValueError("its content does not match its SHA-256")
        document = TypeAdapter(_Document).validate_python(strict_json.loads(text))
    except (BadInput, ValidationError, ValueError) as error:
        raise _invalid_state(path, error) from error
    if document.fingerprint != fingerprint:
        raise BadInput(
            "contains the state of another training: its recipe, seed, data or nf-edge version differs",
            where=path,
            fix="resume with the original recipe, seed, data and version, or delete this file and start "
            "again",
        )
    try:
        return _restored(document, tensors, model, optimizer)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _invalid_state(path, error) from error


def _restored(
    document: _Document, tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer
) -> State:
    model.load_state_dict(_with_prefix("model.", tensors))
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _with_prefix("optimizer.", tensors).items():
        index, key = name.split(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return State(document.step, document.seconds, document.validations, _with_prefix("best.", tensors))


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the metadata and all tensors, to detect any damage."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _invalid_state(path: Path, error: Exception) -> BadInput:
    why = error.what if isinstance(error, BadInput) else error
    fix = "delete this file and start again"
    return BadInput(f"is not the state of a training ({why})", where=path, fix=fix)


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
