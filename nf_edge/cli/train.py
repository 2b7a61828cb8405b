"""nf-edge train: a checkpoint from a training recipe."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.cli.output import json_option, print_json, print_table, progress_bar, told_how_to_resume

if TYPE_CHECKING:
    from nf_edge.training import TrainingReport, Validation


@click.command("train")
@click.argument("recipe_name", metavar="RECIPE")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="Checkpoint folder to write."
)
@click.option(
    "--data-root",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=".",
    help="Folder that has the recipe's data files (default: this one).",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Another seed than the recipe's.")
@click.option("--compare", is_flag=True, help="Train it with other attention too, for the model card.")
@click.option("--resume", is_flag=True, help="Go on with a training that was interrupted.")
@click.option("--overwrite", is_flag=True, help="Replace an existing checkpoint, or start anew.")
@json_option
def command(
    recipe_name: str,
    out: Path,
    data_root: Path,
    seed: int | None,
    compare: bool,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a checkpoint by a training recipe.

    RECIPE is the name of a bundled training recipe, or a YAML file.  The weights of the best
    validation are kept, and scored once on held-out data.  Ctrl-C loses what was done since the last
    validation; --resume goes on from there, to the very same model.

    \b
    Examples:
      nf-edge train digits -o my-digits
      nf-edge train digits -o my-digits --resume
      nf-edge train sst2 --data-root glue -o my-sst2
    """
    from nf_edge.training import load_training_recipe, state_file, train

    recipe = load_training_recipe(recipe_name)
    if seed is not None:
        recipe = recipe.model_copy(update={"seed": seed})

    def tell(attention: str, validation: "Validation") -> None:
        click.echo(f"{attention}, step {validation.step:,}: {validation.evaluation}", err=True)

    with told_how_to_resume(state_file(out, recipe)), progress_bar() as progress:
        report = train(
            recipe,
            out,
            data_root=data_root,
            resume=resume,
            overwrite=overwrite,
            compare=compare,
            progress=progress,
            on_validation=tell,
        )
    if as_json:
        print_json("train", report.to_json())
    else:
        _print(report, validated=not recipe.data.refit)


def _print(report: "TrainingReport", *, validated: bool) -> None:
    model = report.model
    rows = [
        ("held-out score", model.test),
        ("parameters", f"{model.parameters:,}"),
        ("wall time", f"{model.seconds:.0f} s"),
    ]
    if validated:
        rows.insert(1, ("validation score", f"{model.valid}, at step {model.best_step:,}"))
    if report.examples is not None:
        rows.append(("examples", report.examples))
    rows += [(f"with {other.attention} instead", other.test) for other in report.comparison]
    print_table(("checkpoint", str(report.path)), rows)
    for note in report.notes:
        click.echo(f"note: {note}")
    out = shlex.quote(str(report.path))
    name = shlex.quote(report.path.name + "-xnnpack")
    click.echo(f"next: nf-edge export {out} --recipe xnnpack-8da8w -o {name}")
