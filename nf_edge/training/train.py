"""Train a recipe and write a checkpoint folder."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from nf_edge import __version__
from nf_edge.core import strict_json
from nf_edge.core.files import created_folder
from nf_edge.core.progress import Progress, silent
from nf_edge.core.reading import sha256
from nf_edge.core.staging import scratch_folder
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint_outline import CARD, EXAMPLES
from nf_edge.model.checkpoint_writer import check_place, staged_checkpoint, write_checkpoint
from nf_edge.model.data import Batch
from nf_edge.model.data.sources import NAMED
from nf_edge.model.init import init_tensors
from nf_edge.training.card import model_card
from nf_edge.training.distill import Teachers, train_teachers
from nf_edge.training.dropout import add_dropout
from nf_edge.training.evaluate import evaluate, label_loss
from nf_edge.training.loop import Loss, Resumable, best_validation, fit
from nf_edge.training.random_noise import add_random_noise, noise_prior
from nf_edge.training.recipe import Bpe, Regularization, TrainingRecipe
from nf_edge.training.sources import TrainingData, read_training_data
from nf_edge.training.state import Validation, check_states
from nf_edge.training.training_report import Trained, TrainingReport
from nf_edge.training.variants import attention_name, variants


def train(
    recipe: TrainingRecipe,
    out: Path,
    *,
    data_root: Path = Path(),
    resume: bool = False,
    overwrite: bool = False,
    compare: bool = False,
    progress: Progress = silent,
    on_validation: Callable[[str, Validation], None] = lambda attention, validation: None,
) -> TrainingReport:
    """Train a recipe and write a checkpoint with its model card; an interruption leaves no partial folder.

    During training, each model's state is in a file `OUT.*.training` next to `out`.

    Args:
        data_root: the folder with the data files that the recipe names.
        resume: continue an interrupted training of the same recipe.
        overwrite: replace an existing `out`, and discard an interrupted training.
        compare: also train the recipe with other kinds of attention, to compare them in the model card.

    Raises:
        BadInput: the data does not suit the model, `out` cannot be written, there is no state to resume, a
            state exists but neither `resume` nor `overwrite` is set, or the training diverged.
        MissingTool: a folder of the datasets package needs that package.
    """
    recipes = [recipe, *(variants(recipe) if compare else [])]
    states = [state_file(out, each) for each in recipes]
    check_place(out, overwrite=overwrite, sources=_sources(recipe, data_root), other_outputs=states)
    check_states(states, "training", resume=resume, overwrite=overwrite)
    with scratch_folder() as scratch, created_folder(out.parent):
        return _train(
            recipes,
            read_training_data(recipe, data_root, scratch),
            out,
            overwrite=overwrite,
            progress=progress,
            on_validation=on_validation,
        )


def _train(
    recipes: list[TrainingRecipe],
    data: TrainingData,
    out: Path,
    *,
    overwrite: bool,
    progress: Progress,
    on_validation: Callable[[str, Validation], None],
) -> TrainingReport:
    """Train all recipes and write the checkpoint of the first recipe; the others are for comparison."""
    recipe = recipes[0]
    states = [state_file(out, each) for each in recipes]
    teachers = train_teachers(recipe, data, progress, on_validation)
    trained: list[Trained] = []
    for each, path in zip(recipes, states, strict=True):
        resumable = Resumable(path, _fingerprint(each, data))
        result, tensors = _train_one(each, data, teachers, resumable, progress, on_validation)
        trained.append(result)
        if each is recipe:
            best_tensors = tensors
    checkpoint = _rounded(recipe, best_tensors)
    examples = None
    if data.examples is not None:
        examples = evaluate(checkpoint.model(), data.examples, recipe.training.batch_size)
    report = TrainingReport(
        out,
        recipe.name,
        recipe.seed,
        trained[0],
        examples,
        tuple(trained[1:]),
        None if teachers is None else evaluate(teachers, data.valid, recipe.training.batch_size),
        data.bytes_per_token,
        data.notes,
    )
    with staged_checkpoint(out, overwrite=overwrite) as stage:
        write_checkpoint(
            stage,
            recipe.model,
            best_tensors,
            dtype=getattr(torch, recipe.dtype),
            tokenizer_file=data.tokenizer_file,
            where=out,
        )
        (stage / CARD).write_text(model_card(recipe, report, data.sha256), encoding="utf-8")
        if data.examples_json:
            (stage / EXAMPLES).write_text(data.examples_json, encoding="utf-8")
    for path in states:
        path.unlink(missing_ok=True)
    return report


def _sources(recipe: TrainingRecipe, root: Path) -> list[Path]:
    """The paths of the files that a training reads; `root` is the folder with the data files."""
    data, teachers = recipe.data, recipe.distill.teachers if recipe.distill else ()
    named = [data.train.file, data.valid.file, data.test.file, *(each.vectors_file for each in teachers)]
    files = [root / name for name in named if name is not None and name not in NAMED]
    if data.tokenizer is not None and not isinstance(data.tokenizer, Bpe):
        files.append(data.tokenizer)
    return files


def state_file(out: Path, recipe: TrainingRecipe) -> Path:
    """The file that keeps the state of an unfinished training."""
    return out.parent / f"{out.name}.{attention_name(recipe.model)}.training"


def _train_one(
    recipe: TrainingRecipe,
    data: TrainingData,
    teachers: Teachers | None,
    resumable: Resumable,
    progress: Progress,
    on_validation: Callable[[str, Validation], None],
) -> tuple[Trained, dict[str, Tensor]]:
    """Train one model; returns its result, and the tensors of the best step before rounding to the saved
    dtype.
    """
    name, size = attention_name(recipe.model), recipe.training.batch_size
    model = Checkpoint(resumable.path, recipe.model, init_tensors(recipe.model, recipe.seed)).model()
    model.requires_grad_(True)
    if recipe.regularization.noise_prior is not None:
        add_random_noise(model)
    if recipe.regularization.dropout:
        add_dropout(model, recipe.regularization.dropout)
    state = fit(
        model,
        data.train if data.taught is None else data.taught,
        _loss(recipe.regularization, teachers),
        lambda model: evaluate(model, data.valid, size),
        recipe.training,
        recipe.seed,
        resumable=resumable,
        progress=lambda step, done, total: progress(f"{step} {name}", done, total),
        on_validation=lambda validation: on_validation(name, validation),
    )
    checkpoint, best = _rounded(recipe, state.best), best_validation(state)
    trained = Trained(
        attention=name,
        parameters=checkpoint.parameters,
        test=evaluate(checkpoint.model(), data.test, size),
        valid=best.evaluation,
        best_step=best.step,
        sigma=_sigma(recipe, state.best),
        seconds=state.seconds,
    )
    return trained, state.best


def _loss(regularization: Regularization, teachers: Teachers | None) -> Loss:
    task = (
        partial(label_loss, smoothing=regularization.label_smoothing) if teachers is None else teachers.loss
    )

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        value = task(model, batch)
        if regularization.noise_prior is not None:
            value = value + regularization.noise_prior * noise_prior(model)
        return value

    return loss


def _rounded(recipe: TrainingRecipe, tensors: dict[str, Tensor]) -> Checkpoint:
    """A checkpoint with the tensors in the recipe's dtype, as in the saved file."""
    dtype = getattr(torch, recipe.dtype)
    return Checkpoint(Path(), recipe.model, {name: tensor.to(dtype) for name, tensor in tensors.items()})


def _sigma(recipe: TrainingRecipe, tensors: dict[str, Tensor]) -> tuple[tuple[float, ...], ...] | None:
    if recipe.regularization.noise_prior is None:
        return None
    names = recipe.model.optional_tensor_shapes()
    return tuple(tuple(tensors[name].exp().tolist()) for name in names)


def _fingerprint(recipe: TrainingRecipe, data: TrainingData) -> str:
    """SHA-256 of everything that the weights depend on, except the machine."""
    data_keys = {"train", "valid"}
    sources = [recipe.data.train.file, recipe.data.valid.file]
    if recipe.distill is not None:
        sources += [teacher.vectors_file for teacher in recipe.distill.teachers if teacher.vectors_file]
    facts = {
        "recipe": recipe.model_dump(
            mode="json",
            include={
                "data": data_keys,
                "model": True,
                "training": True,
                "regularization": True,
                "distill": True,
                "seed": True,
            },
        ),
        "data": [data.sha256[source] for source in sources],
        "tokenizer": data.tokenizer_file and sha256(data.tokenizer_file),
        "versions": [__version__, torch.__version__],
    }
    return hashlib.sha256(strict_json.dumps(facts, indent=None).encode()).hexdigest()
