"""`compression.json`: which sections of which recipe made a checkpoint, and of what."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.identity import UNKNOWN
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.core.recipe.prune import COMPRESSION_SCHEMAS, Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.schemas import require_schema
from nf_edge.model import Checkpoint
from nf_edge.model.checkpoint import MARK


def write_mark(mark: Compression, folder: Path) -> None:
    document = strict_json.dumps(mark.model_dump(mode="json", by_alias=True))
    (folder / MARK).write_text(document + "\n", encoding="utf-8")


def read_mark(checkpoint: Checkpoint) -> Compression | None:
    """How a checkpoint was made of another; None where it was not.

    Raises:
        BadInput: the file is damaged, or is of another checkpoint.
    """
    path = checkpoint.path / MARK
    if not is_there(path):
        return None
    document = read_json_object(path)
    require_schema(document, COMPRESSION_SCHEMAS, path)
    try:
        mark = Compression.model_validate(document)
    except ValidationError as error:
        raise BadInput(
            f"is damaged: {error}", where=path, fix="compress the original checkpoint again"
        ) from error
    if mark.result != UNKNOWN and (differing := checkpoint.differs_from(mark.result)):
        raise BadInput(
            f"is of another checkpoint: compress wrote another {' and another '.join(differing)}",
            where=path,
            fix="compress the original checkpoint again, or delete this file, whose scores are of others",
        )
    return mark


def is_to_shrink(checkpoint: Checkpoint, recipe: Recipe) -> bool:
    """Whether a recipe prunes or trains a checkpoint, which is not what comes of that.

    Raises what `read_mark` does.
    """
    mark = read_mark(checkpoint)
    if mark is None or not recipe.shrinks:
        return recipe.shrinks
    rounded_otherwise = mark.rounded_as not in (UNKNOWN, rounded_as(recipe))
    return rounded_otherwise or (mark.prune, mark.recover) != (recipe.prune, recipe.recover)


def rounded_as(recipe: Recipe) -> dict[str, Any] | None:
    """How a recipe's recovery has the model rounded while it trains; None where it does not."""
    if recipe.quantize is None or recipe.recover is None or not recipe.recover.qat:
        return None
    return recipe.quantize.model_dump(mode="json")


def require_done(checkpoint: Checkpoint, recipe: Recipe) -> Compression | None:
    """The mark of a checkpoint, which is that of the recipe's sections where it has any.

    Raises:
        BadInput: the recipe prunes or recovers, and the checkpoint is not what came of that.
    """
    if is_to_shrink(checkpoint, recipe):
        raise BadInput(
            f"is not what the sections prune and recover of recipe {recipe.name} make of a checkpoint",
            where=checkpoint.path,
            fix=f"nf-edge compress CHECKPOINT --recipe {recipe.name} --train FILE -o SMALL makes that",
        )
    return read_mark(checkpoint)
