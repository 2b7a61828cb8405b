"""`nf-edge train`: train a checkpoint with a training recipe."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from nf_edge.cli.options import json_option, out_option, overwrite_option, resume_option, seed_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import print_validation, progress_bar, resume_hint


@click.command("train")
@click.argument("recipe_name", metavar="RECIPE")
@out_option("Checkpoint folder to write", required=True)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    show_default="this folder",
    help="Folder with the recipe's data files.",
)
@seed_option(None, shown="the recipe's", most=2**63 - 1)
@click.option(
    "--compare", is_flag=True, help="Also train the same model with other attention, for the model card."
)
@resume_option
@overwrite_option
@json_option
def command(recipe_name: str, out: Path, seed: int | None, as_json: bool, **options: Any) -> None:
    """Train a checkpoint with a training recipe.

    RECIPE is the name of a bundled training recipe, or a YAML file.  Training keeps the weights with the best
    validation score, and scores them once on held-out data.  An interruption (Ctrl-C) loses the work since
    the last validation.  --resume continues from there and reaches the same model.

    \b
    Examples:
      nf-edge train digits -o my-digits
      nf-edge train digits -o my-digits --resume
      nf-edge train sst2 --data-root glue -o my-sst2
    """
    from nf_edge.render.training import training_parts
    from nf_edge.training import load_training_recipe, state_file, train

    recipe = load_training_recipe(recipe_name, seed)
    with resume_hint(state_file(out, recipe)), progress_bar() as progress:
        report = train(recipe, out, progress=progress, on_validation=print_validation, **options)
    finish("train", report, as_json, partial(training_parts, validated=not recipe.data.refit))
