"""The predicted memory of a checkpoint with a recipe, if the recipe can export it.

This module imports no PyTorch.
"""

from nf_edge.backends import agreeing_spec
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.measure.memory.predict import Prediction, predict
from nf_edge.model.checkpoint_outline import CheckpointOutline
from nf_edge.pruning.provenance import require_pruned


def predicted(
    outline: CheckpointOutline, recipe: Recipe, at: int | None = None, batch: int = 1
) -> Prediction:
    """The memory of a checkpoint's artifact before the export.

    The weights are not read; an export verifies them.  The backend's packages may be missing.

    Args:
        at: tokens in the context; None: the longest context.
        batch: rows in one run.

    Raises:
        BadInput: the backend does not support the recipe, or the recipe does not suit the checkpoint.
    """
    spec = agreeing_spec(recipe)
    require_pruned(outline, recipe)
    spec.require_size(outline.config, recipe)
    return predict(spec, outline.config, recipe, at, batch)
