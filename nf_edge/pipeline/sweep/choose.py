"""Which recipes a model is exported by."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.backends import backend_for
from nf_edge.backends.input_shape import InputShape
from nf_edge.core.device import Device
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes, load_recipe
from nf_edge.model import Checkpoint
from nf_edge.model.data.rows import Rows, load_rows
from nf_edge.pipeline.export import dry_run
from nf_edge.pruning.provenance import is_to_shrink
from nf_edge.quantization.calibration import calibration_purposes


@dataclass(frozen=True)
class Skipped:
    """A bundled recipe that does not suit, and why."""

    recipe: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose(
    names: Sequence[str],
    checkpoint: Checkpoint,
    device: Device | None,
    calibrate: str | None,
    can_train: bool,
) -> tuple[list[Recipe], list[Skipped]]:
    """The recipes of these names, in their order; of none, the bundled ones that suit, float32 first.

    What suits is found out without exporting anything; kernels that a recipe calls are built.

    Raises:
        BadInput, MissingTool: a recipe that was named does not suit, or no bundled one does.
    """
    if names:
        recipes = [load_recipe(name) for name in names]
        _refuse_twice(recipes)
        for recipe in recipes:
            _refuse_unsuited(recipe, checkpoint, device, calibrate, can_train)
        return recipes, []
    chosen, skipped = [], []
    for recipe in sorted(bundled_recipes(), key=_order):
        try:
            _refuse_unsuited(recipe, checkpoint, device, calibrate, can_train)
            chosen.append(recipe)
        except (BadInput, MissingTool) as error:
            skipped.append(Skipped(recipe.name, "; ".join(filter(None, (error.what, error.fix)))))
    if not chosen:
        problems = [f"{each.recipe}: {each.reason}" for each in skipped]
        raise BadInput.listing(problems, where=checkpoint.path, fix="name recipes of yours with --recipe")
    return chosen, skipped


def _order(recipe: Recipe) -> tuple[bool, bool, bool, str]:
    return recipe.quantize is not None, recipe.shrinks, not recipe.is_stock, recipe.name


def _refuse_twice(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise BadInput("is there twice", where=f"recipe {name}", fix="give each recipe a name of its own")


def _refuse_unsuited(
    recipe: Recipe, checkpoint: Checkpoint, device: Device | None, calibrate: str | None, can_train: bool
) -> None:
    """Raises BadInput or MissingTool where an export by this recipe would."""
    backend = backend_for(recipe)
    if backend.reference_executor:
        raise BadInput(
            f"cannot be timed here: nothing on this machine runs it but {backend.reference_executor}",
            where=f"recipe {recipe.name}",
            fix="time it on its target; its own export has what the compiler of that tells of it",
        )
    backend.operators_file()
    if is_to_shrink(checkpoint, recipe):
        where = f"recipe {recipe.name}"
        if not can_train:
            raise BadInput(
                "prunes or trains the model, for which it needs data", where=where, fix="give --train"
            )
        if checkpoint.config.is_language_model and recipe.prune and recipe.prune.vocabulary:
            raise BadInput(
                "drops tokens, and a language model of other tokens predicts other things",
                where=where,
                fix="leave out prune.vocabulary",
            )
        recipe = recipe.model_copy(update={"prune": None, "recover": None})
    dry_run(checkpoint, recipe, device, seen_by(recipe, checkpoint, calibrate))


def seen_by(recipe: Recipe, checkpoint: Checkpoint, calibrate: str | None) -> Rows | None:
    """The rows of a source, where one was given and a recipe has something to calibrate."""
    input_shape = InputShape.of(recipe, checkpoint.config)
    cache = backend_for(recipe).cache_dtype(checkpoint.config, input_shape, recipe)
    if calibrate is None or not calibration_purposes(recipe, cache):
        return None
    return load_rows(calibrate, checkpoint, length=input_shape.length)
