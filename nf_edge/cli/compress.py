"""`nf-edge compress`: prune a checkpoint, and recover its accuracy."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.cli.options import json_option, out_option, overwrite_option, recipe_option, resume_option
from nf_edge.cli.output import finish
from nf_edge.cli.progress import print_validation, progress_bar, resume_hint, warn
from nf_edge.cli.row_options import data_option, row_format_options, train_option

if TYPE_CHECKING:
    from nf_edge.pruning.pruning_report import PruningReport
    from nf_edge.render.table import Part

EPILOG = """\b
Examples:
  nf-edge compress digits --recipe half.yaml --train digits:train -o half-digits
  nf-edge compress ./my-model --recipe small.yaml --train train.tsv --data dev.tsv -o my-small-model
  nf-edge export ./my-small-model --recipe xnnpack-8da8w -o artifact
"""


@click.command("compress", epilog=EPILOG)
@click.argument("checkpoint")
@recipe_option(required=True)
@train_option(required=True)
@click.option(
    "--valid",
    metavar="ROWS",
    show_default="5 % of --train",
    help="Rows that select the best step of the recovery.",
)
@data_option(default="the rows of --valid")
@row_format_options
@out_option("Checkpoint folder to write", required=True)
@resume_option
@overwrite_option
@json_option
def command(checkpoint: str, recipe: str, out: Path, as_json: bool, **options: Any) -> None:
    """Prune CHECKPOINT by a recipe's `prune` section, and recover its accuracy by the `recover` section.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Pruning removes tokens, layers, heads and inner units.  Artifacts of the new checkpoint are smaller and
    faster, and need less RAM.  An interruption (Ctrl-C) loses the recovery since its last validation.
    --resume continues from there and reaches the same weights.
    """
    from nf_edge.pipeline import api
    from nf_edge.pruning.recover import state_file

    the_recipe = api.load_recipe(recipe)
    options |= {"notify": warn, "on_validation": partial(print_validation, "recovery")}
    with resume_hint(state_file(out)), progress_bar() as progress:
        result = api.compress(checkpoint, the_recipe, out, progress=progress, **options)
    finish("compress", result, as_json, partial(_parts, recipe, the_recipe.runtime))


def _parts(recipe: str, runtime: str, result: "PruningReport") -> "list[Part]":
    from nf_edge.render.checkpoint import export_line
    from nf_edge.render.pruning import pruning_parts
    from nf_edge.render.table import body

    hint = export_line(result.path, recipe, f"{result.path.name}-{runtime}")
    return [*pruning_parts(result), body([hint])]
