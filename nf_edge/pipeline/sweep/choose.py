"""Choose the recipes of a sweep: those that the user names, or all bundled ones that suit the checkpoint."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nf_edge.backends import backend_for
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.recipe.recipe import Recipe, bundled_recipes, load_recipe
from nf_edge.pipeline.export import dry_run
from nf_edge.pipeline.sweep.job import SweepJob
from nf_edge.pruning.provenance import needs_compression


@dataclass(frozen=True)
class Skipped:
    """A bundled recipe that does not suit the checkpoint, and the reason."""

    recipe: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def choose(names: Sequence[str], job: SweepJob) -> tuple[list[Recipe], list[Skipped]]:
    """The recipes of a sweep, and the bundled ones that do not suit the checkpoint.

    Nothing is exported, but the kernels that a recipe calls are built.

    Args:
        names: names or files of recipes; empty: all bundled ones that suit the checkpoint, float32 first.

    Raises:
        BadInput, MissingTool: a requested recipe does not suit the checkpoint, or no bundled one does.
    """
    if names:
        recipes = [load_recipe(name) for name in names]
        _refuse_twice(recipes)
        for recipe in recipes:
            _refuse_unsuited(recipe, job)
        return recipes, []
    chosen, skipped = [], []
    for recipe in sorted(bundled_recipes(), key=_order):
        try:
            _refuse_unsuited(recipe, job)
            chosen.append(recipe)
        except (BadInput, MissingTool) as error:
            skipped.append(Skipped(recipe.name, "; ".join(filter(None, (error.what, error.fix)))))
    if not chosen:
        problems = [f"{each.recipe}: {each.reason}" for each in skipped]
        fix = "no bundled recipe suits this checkpoint; give recipes with --recipe"
        raise BadInput.listing(problems, where=job.checkpoint.path, fix=fix)
    return chosen, skipped


def _order(recipe: Recipe) -> tuple[bool, bool, bool, str]:
    return recipe.quantize is not None, recipe.shrinks, not recipe.is_stock, recipe.name


def _refuse_twice(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    for number, name in enumerate(names):
        if name in names[:number]:
            what = "several of the given recipes have this name"
            raise BadInput(what, where=f"recipe {name}", fix="give each recipe once, and under its own name")


def _refuse_unsuited(recipe: Recipe, job: SweepJob) -> None:
    """Check that an export with this recipe can start.

    Raises:
        BadInput: the recipe does not suit the checkpoint or this machine.
        MissingTool: a package of the backend is not installed, or a kernel that the recipe calls cannot be
            built here.
    """
    checkpoint = job.checkpoint
    backend = backend_for(recipe)
    if backend.reference_executor:
        raise BadInput(
            f"cannot be timed here: on this machine its files run only in {backend.reference_executor}",
            where=f"recipe {recipe.name}",
            fix="leave this recipe out of the sweep, and time its export on the target; the export's report "
            "has the compiler's estimate, if there is one",
        )
    backend.operators_file()
    if needs_compression(checkpoint, recipe):
        where = f"recipe {recipe.name}"
        if job.train is None:
            raise BadInput(
                "prunes or trains the model, so it needs training data", where=where, fix="give --train"
            )
        if checkpoint.config.is_language_model and recipe.prune and recipe.prune.vocabulary:
            raise BadInput(
                "drops tokens, so the pruned model's predictions cannot be compared with the original's",
                where=where,
                fix="remove prune.vocabulary from the recipe",
            )
        recipe = recipe.model_copy(update={"prune": None, "recover": None})
    dry_run(checkpoint, recipe, job.device, job.calibration_for(checkpoint, recipe))
