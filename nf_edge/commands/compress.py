"""`nf-edge compress`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nf_edge.commands.common import (
    json_option,
    print_json,
    print_table,
    progress_bar,
    told_how_to_resume,
    warn,
)

if TYPE_CHECKING:
    from nf_edge.compress.shrunk import Shrunk
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
    from nf_edge.compress.recover import state_file
    from nf_edge.compress.shrink import shrink
    from nf_edge.compress.shrink_data import Sources
    from nf_edge.errors import BadInput
    from nf_edge.model import resolve_checkpoint
    from nf_edge.recipe import load_recipe

    the_recipe = load_recipe(recipe)
    if not the_recipe.shrinks:
        raise BadInput(
            f"recipe {the_recipe.name} has neither a section `prune` nor `recover`",
            fix="nf-edge recipes show xnnpack-8da8w-half shows one that has both",
        )
    the_checkpoint = resolve_checkpoint(checkpoint)
    warn(the_checkpoint.warnings)

    def tell(validation: "Validation") -> None:
        click.echo(f"step {validation.step:,}: {validation.evaluation}", err=True)

    with told_how_to_resume(state_file(out)), progress_bar() as progress:
        result = shrink(
            the_checkpoint,
            the_recipe,
            Sources(train, valid, data),
            out,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            on_validation=tell,
        )
    if as_json:
        print_json("compress", {"path": str(result.path), **result.to_json()})
    else:
        _print(result, recipe, the_recipe.runtime)


def _print(result: "Shrunk", recipe: str, runtime: str) -> None:
    from nf_edge.render import flips_text, kl_text
    from nf_edge.report import format_bytes

    before, after = result.before, result.after
    rows = [
        ("parameters", f"{before.parameters:,}", f"{after.parameters:,}"),
        ("vocabulary", f"{before.vocabulary:,}", f"{after.vocabulary:,}"),
        ("layers", len(before.layers), len(after.layers)),
        ("heads", *(", ".join(str(heads) for heads, _ in sizes.layers) for sizes in (before, after))),
        ("inner units", *(", ".join(str(inner) for _, inner in sizes.layers) for sizes in (before, after))),
    ]
    print_table(("what it has", "before", "after"), rows, right=(1, 2))
    how = ", rounded" if result.rounded else ""
    scores = [("before", result.original)]
    if result.pruned is not None:
        scores.append((f"pruned{how}", result.pruned))
        scores.append((f"recovered{how}, at step {result.best_step:,}", result.result))
    else:
        scores.append(("pruned", result.result))
    print_table((f"on {result.tested_on}", ""), scores)
    if result.faithful is not None:
        click.echo(f"answers that changed: {flips_text(result.faithful)}")
        click.echo(f"KL divergence from the answers before: {kl_text(result.faithful)}")
    if result.otherwise is not None:
        changed, total = result.otherwise
        click.echo(f"texts with other tokens than before: {changed:,} of {total:,}")
    if after != before:
        click.echo("saved: file, RAM and time of whatever is exported from it")
    if result.zeros is not None:
        old, new = map(format_bytes, result.download)
        click.echo(
            f"zeros: {100 * result.zeros:.1f} % of the weights of linear layers; they save no file, RAM or "
            f"time, only a compressed download ({old} → {new}, by deflate)"
        )
    out = shlex.quote(str(result.path))
    click.echo(
        f"next: nf-edge export {out} --recipe {recipe} -o {shlex.quote(f'{result.path.name}-{runtime}')}"
    )
