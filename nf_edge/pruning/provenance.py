"""`compression.json`: the record of the original checkpoint and the recipe sections that made a
checkpoint.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput
from nf_edge.core.identity import UNKNOWN
from nf_edge.core.reading import is_there, read_json_object
from nf_edge.core.recipe.prune import COMPRESSION_SCHEMAS, Compression
from nf_edge.core.recipe.recipe import Recipe
from nf_edge.core.schemas import require_schema
from nf_edge.model.checkpoint_outline import PROVENANCE, CheckpointOutline

if TYPE_CHECKING:
    from nf_edge.model import Checkpoint


def write_provenance(provenance: Compression, folder: Path) -> None:
    document = strict_json.dumps(provenance.model_dump(mode="json", by_alias=True))
    (folder / PROVENANCE).write_text(document + "\n", encoding="utf-8")


def read_provenance(checkpoint: "Checkpoint | CheckpointOutline") -> Compression | None:
    """The record of how a checkpoint was compressed; None if it was not.

    If `checkpoint` is an outline, only its config is compared with the record.

    Raises:
        BadInput: the file is damaged, or belongs to another checkpoint.
    """
    path = checkpoint.path / PROVENANCE
    if not is_there(path):
        return None
    document = read_json_object(path)
    require_schema(document, COMPRESSION_SCHEMAS, path)
    try:
        provenance = Compression.model_validate(document)
    except ValidationError as error:
        raise BadInput(
            f"is damaged:\n{error}", where=path, fix="compress the original checkpoint again"
        ) from error
    if provenance.result != UNKNOWN and (differing := checkpoint.differs_from(provenance.result)):
        raise BadInput(
            f"does not match the checkpoint: {' and '.join(differing)} changed after compress wrote it",
            where=path,
            fix="compress the original checkpoint again, or delete this file, whose scores no longer apply",
        )
    return provenance


def needs_compression(checkpoint: "Checkpoint | CheckpointOutline", recipe: Recipe) -> bool:
    """Whether a recipe prunes or recovers, and the checkpoint is not yet the result of that recipe.

    Raises:
        BadInput: the checkpoint's `compression.json` is damaged, or belongs to another checkpoint.
    """
    provenance = read_provenance(checkpoint)
    if provenance is None or not recipe.shrinks:
        return recipe.shrinks
    other_rounding = provenance.rounded_as not in (UNKNOWN, qat_section(recipe))
    return other_rounding or (provenance.prune, provenance.recover) != (recipe.prune, recipe.recover)


def qat_section(recipe: Recipe) -> dict[str, Any] | None:
    """The `quantize` section that recovery trains with; None without quantization-aware recovery."""
    if recipe.quantize is None or recipe.recover is None or not recipe.recover.qat:
        return None
    return recipe.quantize.model_dump(mode="json")


def require_pruned(checkpoint: "Checkpoint | CheckpointOutline", recipe: Recipe) -> Compression | None:
    """The record of how a checkpoint was compressed; None if it was not.

    Raises:
        BadInput: the recipe prunes or recovers, and the checkpoint is not the result of that recipe.
    """
    if needs_compression(checkpoint, recipe):
        raise BadInput(
            f"was not compressed by recipe {recipe.name}, which has a prune or recover section",
            where=checkpoint.path,
            fix=f"run: nf-edge compress CHECKPOINT --recipe {recipe.name} --train FILE -o SMALL",
        )
    return read_provenance(checkpoint)
