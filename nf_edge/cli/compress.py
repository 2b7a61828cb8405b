"""`nf-edge compress`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.cli.output import json_option, print_json, progress_bar, show, told_how_to_resume, warn_of

if TYPE_CHECKING:
    from nf_edge.pruning.pruning_report import Shrunk
    from nf_edge.training import Validation

EPILOG = """\b
Examples:
  nf-edge compress digits --recipe half.yaml --train digits:train -o half-digits
  nf-edge compress ./my-model --recipe small.yaml --train train.tsv --data dev.tsv -o my-small-model
  nf-edge export ./my-small-model --recipe xnnpack-8da8w -o artifact
"""


@click.command("compress", epilog=EPILOG)
@click.argument("checkpoint")
@click.option(
    "--recipe", required=True, help="A recipe with a section `prune` or `recover`, or its YAML file."
)
@click.option(
    "--train",
    required=True,
    help="Labelled rows (text, for a language model) to prune by and recover on: a file, or NAME:SPLIT.",
)
@click.option("--valid", help="Rows to choose the best step of recovery by (default: 5 % of --train).")
@click.option("--data", help="Rows to score the result on, at the end (default: what --valid is).")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write."
)
@click.option("--resume", is_flag=True, help="Go on with a recovery that was interrupted.")
@click.option("--overwrite", is_flag=True, help="Replace an existing checkpoint, or start anew.")
@json_option
def command(
    checkpoint: str,
    recipe: str,
    train: str,
    valid: str | None,
    data: str | None,
    out: Path,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Make CHECKPOINT smaller by a recipe's `prune` section, and train it back by its `recover` section.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Tokens, layers, heads and inner units that go are gone for real: the checkpoint that comes out is smaller,
    and so is everything exported from it, in the file, in RAM and in time.  Ctrl-C loses what recovery did
    since its last validation; --resume goes on from there, to the very same weights.
    """
    from nf_edge.pipeline import api
    from nf_edge.pipeline.loading import load_recipe
    from nf_edge.pruning.recover import state_file

    the_recipe = load_recipe(recipe)

    def tell(validation: "Validation") -> None:
        click.echo(f"step {validation.step:,}: {validation.evaluation}", err=True)

    with told_how_to_resume(state_file(out)), progress_bar() as progress:
        result = api.compress(
            checkpoint,
            the_recipe,
            out,
            train=train,
            valid=valid,
            data=data,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            notify=warn_of,
            on_validation=tell,
        )
    if as_json:
        print_json("compress", result.to_json())
    else:
        _print(result, recipe, the_recipe.runtime)


def _print(result: "Shrunk", recipe: str, runtime: str) -> None:
    from nf_edge.render.shrunk import shrunk_lines, shrunk_tables

    for table in shrunk_tables(result):
        show(table)
    for line in shrunk_lines(result):
        click.echo(line)
    out = shlex.quote(str(result.path))
    click.echo(
        f"next: nf-edge export {out} --recipe {recipe} -o {shlex.quote(f'{result.path.name}-{runtime}')}"
    )
