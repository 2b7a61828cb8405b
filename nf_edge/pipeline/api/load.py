"""Load checkpoints, recipes, devices, rows and artifacts by name or path."""

from typing import TYPE_CHECKING

from nf_edge.pipeline.api.arguments import Named, format_of, optional_whole
from nf_edge.pipeline.api.resolver import Notify, Resolver

if TYPE_CHECKING:
    from nf_edge.artifact import Artifact
    from nf_edge.core.device import Device
    from nf_edge.core.recipe.recipe import Recipe
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows


def _ignore(remark: str) -> None:
    """Ignore a remark: each loaded value keeps its remarks in its attribute `warnings`."""


def load_checkpoint(source: "Named | Checkpoint") -> "Checkpoint":
    """Load a bundled checkpoint by its name, or a checkpoint folder by its path.

    Raises:
        BadInput: the checkpoint does not exist or is invalid; the message lists every mismatch.
    """
    return Resolver(_ignore).checkpoint(source)


def load_recipe(source: "Named | Recipe") -> "Recipe":
    """Load a bundled recipe by its name, or a YAML file by its path.

    Raises:
        BadInput: the recipe does not exist or is invalid; the message lists every error with its line.
    """
    return Resolver(_ignore).recipe(source)


def load_device(source: "Named | Device") -> "Device":
    """Load a bundled device by its name, or a YAML file by its path.

    Raises:
        BadInput: the device does not exist or is invalid; the message lists every error with its line.
    """
    return Resolver(_ignore).device(source)


def load_rows(
    source: "Named | Rows",
    checkpoint: "Named | Checkpoint",
    *,
    recipe: "Named | Recipe | None" = None,
    row_format: "RowFormat | None" = None,
    limit: int | None = None,
) -> "Rows":
    """Load rows, and encode their texts with a checkpoint's tokenizer.

    Args:
        source: a TSV, CSV or JSONL file; a folder of a GLUE task or of the datasets package; or the name of a
            data set and its split, NAME:SPLIT.
        recipe: longer rows are cut to this recipe's length; None: to the checkpoint's number of positions.
        row_format: task, columns and labels of files; None: the usual names, such as `text` and `label`.
        limit: read only the first `limit` rows.

    Raises:
        BadInput: the source cannot be read, or has bad rows; the message lists them by line.
        MissingTool: a folder of the datasets package needs that package.
    """
    resolver = Resolver(_ignore, row_format=format_of(row_format, source=source))
    the_checkpoint = resolver.checkpoint(checkpoint)
    length = the_checkpoint.config.n_positions
    if recipe is not None:
        length = resolver.input_shape(resolver.recipe(recipe), the_checkpoint).length
    return resolver.rows(source, the_checkpoint, optional_whole("limit", limit, 1), length)


def load_artifact(
    source: "Named | Artifact",
    *,
    public_key: Named | None = None,
    require_signature: bool = False,
    notify: Notify | None = None,
) -> "Artifact":
    """Load an artifact folder and verify all of its files; a loaded artifact is verified again.

    Args:
        public_key: the key file to verify the artifact's signature with; None: it is not verified.
        require_signature: refuse an artifact without a verified signature.
        notify: called with each remark; None: remarks go to Python's `warnings`.

    Raises:
        BadInput: the folder is not an artifact; a file is missing, changed or not listed; or a required
            signature is missing or invalid.
        MissingTool: verifying a signature needs a package that is not installed.
    """
    return Resolver(notify, public_key, require_signature).artifact(source)
