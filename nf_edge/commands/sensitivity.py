"""`nf-edge sensitivity`."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nf_edge.commands.common import existing, json_option, print_json, print_lines, progress_bar, show, warn
from nf_edge.commands.numbers import Drop, Finite

if TYPE_CHECKING:
    from nf_edge.data.rows import Rows
    from nf_edge.mixing import Target
    from nf_edge.model import Checkpoint

EPILOG = """\b
Examples:
  nf-edge sensitivity digits --recipe xnnpack-8da4w
  nf-edge sensitivity digits --recipe xnnpack-8da4w --file-size 150kB -o small.yaml
  nf-edge sensitivity ./my-model --recipe onnx-int4 --data train.tsv --kl 0.01 -o mine.yaml
"""
ROWS = 256
# Of a recipe, by nf_edge.recipe.
NAME = r"[a-z0-9][a-z0-9-]*"


class Size(click.ParamType):
    """A number of bytes: `300kB`, `2 MiB`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from nf_edge.device import parse_size

        try:
            return parse_size(re.sub(r"^([0-9]+) *", r"\1 ", value))
        except ValueError as error:
            self.fail(f"{value!r}: {error}", param, ctx)


@click.command("sensitivity", epilog=EPILOG)
@click.argument("checkpoint")
@click.option(
    "--recipe", required=True, help="A recipe's name or its YAML file: its backend and activations are kept."
)
@click.option(
    "--data",
    help="Rows to compare answers on: a TSV, CSV or JSONL file, or NAME:SPLIT (default: examples.jsonl).",
)
@click.option("--calibrate", help="Rows to calibrate on, where the recipe does (default: examples.jsonl).")
@click.option(
    "--limit", type=click.IntRange(1), default=ROWS, show_default=True, help="Use the first N rows only."
)
@click.option(
    "--file-size",
    type=Size(),
    help="Write the recipe with the least loss whose model file has at most this size, such as 300kB.",
)
@click.option(
    "--kl",
    type=Finite(0, min_open=True),
    help="Write the recipe with the smallest file whose answers diverge by at most so many nats.",
)
@click.option(
    "--max-drop",
    type=Drop(),
    help="The same, that loses at most so many points of accuracy.",
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Recipe file to write, NAME.yaml.")
@click.option("--overwrite", is_flag=True, help="Replace an existing OUT.")
@json_option
def command(
    checkpoint: str,
    recipe: str,
    data: str | None,
    calibrate: str | None,
    limit: int,
    file_size: int | None,
    kl: float | None,
    max_drop: float | None,
    out: Path | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """What quantizing each layer and table of CHECKPOINT costs, and a mixed-precision recipe by that.

    CHECKPOINT is a folder, or the name of a bundled model (./NAME forces a folder).

    Each unit is quantized alone, in PyTorch, to each precision that the recipe's runtime has, and the answers
    are compared with the checkpoint's.  With a target (--file-size, --kl or --max-drop) a recipe is written
    that gives each unit its own precision; its artifact is made, and measured from its file.  So are those of
    the backend's recipes that treat all units alike: where one of them is best, it is what is written.  If
    none meets the target nothing is written: exit 4 for a size, exit 5 for a loss.
    """
    from nf_edge.backends.base import Bounds
    from nf_edge.compress.mixture import as_yaml
    from nf_edge.data.rows import load_rows
    from nf_edge.files import write_text
    from nf_edge.mixing import enforce, mix
    from nf_edge.model import resolve_checkpoint
    from nf_edge.recipe import load_recipe
    from nf_edge.render_sensitivity import (
        choice_line,
        mix_lines,
        mix_table,
        recipe_comments,
        sensitivity_lines,
        sensitivity_table,
        uniform_table,
    )
    from nf_edge.sensitivity import Subject, sensitivity

    target = _target(file_size, kl, max_drop, out)
    the_recipe = load_recipe(recipe)
    if out is not None:
        read = existing("recipes", recipe) + existing("", data) + existing("", calibrate)
        _check_out(out, the_recipe.is_stock, overwrite, read)
    the_checkpoint = resolve_checkpoint(checkpoint)
    warn(the_checkpoint.warnings)
    length = Bounds.of(the_recipe, the_checkpoint.config).length
    rows = (
        load_rows(data, the_checkpoint, limit, length=length)
        if data
        else _examples(the_checkpoint, limit, length)
    )
    seen = load_rows(calibrate, the_checkpoint, length=length) if calibrate else None
    for each in filter(None, (rows, seen)):
        warn(each.warnings)
    subject = Subject(the_checkpoint, the_recipe, rows, seen)
    found = None
    with progress_bar() as progress:
        weighed = sensitivity(subject, progress)
        if target is not None and out is not None:
            found = mix(subject, weighed, target, out.stem, progress)
    if found is not None and found.met and out is not None:
        text = as_yaml(found.best.recipe, recipe_comments(found, weighed, the_checkpoint))
        write_text(out, text, overwrite=overwrite)
    if as_json:
        facts = found.to_json() | {"recipe": str(out) if found.met else None} if found else None
        print_json("sensitivity", weighed.to_json() | {"mix": facts})
    else:
        show(sensitivity_table(weighed, found))
        print_lines(sensitivity_lines(weighed))
        if found is not None:
            print_lines([choice_line(found)])
            show(mix_table(found))
            show(uniform_table(found))
            print_lines(mix_lines(found))
            if found.met and out is not None:
                place = shlex.quote(str(out))
                click.echo(f"next: nf-edge export {shlex.quote(checkpoint)} --recipe {place} -o {out.stem}")
    if found is not None:
        enforce(found)


def _target(
    file_size: int | None, kl: float | None, max_drop: float | None, out: Path | None
) -> "Target | None":
    from nf_edge.mixing import Target

    targets = [Target("size", file_size)] if file_size is not None else []
    targets += [Target("kl", kl)] if kl is not None else []
    targets += [Target("drop", max_drop)] if max_drop is not None else []
    if len(targets) > 1:
        raise click.UsageError("--file-size, --kl and --max-drop exclude each other; give one.")
    if bool(targets) != (out is not None):
        raise click.UsageError("A recipe is written with a target and -o: give both, or neither.")
    return targets[0] if targets else None


def _check_out(out: Path, stock: bool, overwrite: bool, read: list[Path]) -> None:
    """Refuse a place before the work, not after it."""
    from nf_edge.errors import BadInput
    from nf_edge.files import check_file

    if out.suffix != ".yaml" or not re.fullmatch(NAME, out.stem) or stock == out.stem.startswith("nf-"):
        prefix = "" if stock else "nf-"
        raise BadInput(
            "is no name for this recipe's file",
            where=out,
            fix=f"name it {prefix}NAME.yaml, of lower-case letters, digits and hyphens"
            + (" (nf- is for recipes that need kernels of nf-edge)" if stock else ""),
        )
    if not out.parent.is_dir():
        raise BadInput("is in a folder that does not exist", where=out, fix="make it, or name another place")
    check_file(out, overwrite=overwrite, sources=read)


def _examples(checkpoint: "Checkpoint", limit: int, length: int) -> "Rows":
    from dataclasses import replace

    from nf_edge.data.rows import load_rows
    from nf_edge.errors import BadInput

    if checkpoint.examples_file is None:
        raise BadInput(
            "has no examples.jsonl, so there are no rows to compare answers on",
            where=checkpoint.path,
            fix="give rows with --data FILE",
        )
    rows = load_rows(str(checkpoint.examples_file), checkpoint, limit, length=length)
    return replace(rows, source=checkpoint.examples_file.name)
