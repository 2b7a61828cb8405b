"""Checks of the API's arguments: names, paths, numbers and their bounds, and rows for a model."""

import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nf_edge.core.errors import BadInput, quoted
from nf_edge.core.limits import drop_problem
from nf_edge.core.resources import existing

if TYPE_CHECKING:
    from nf_edge.model import Checkpoint
    from nf_edge.model.data.row_format import RowFormat
    from nf_edge.model.data.rows import Rows

Named = str | Path
# Sizes, counts and seeds are 64-bit integers wherever they are used.
LARGEST_INTEGER = 2**63 - 1


def name_of(value: Named) -> str:
    """A name or a path as text.

    A Path without a folder gets the prefix `./`, so nothing reads it as the name of a bundled file.

    Raises:
        BadInput: the value is not a str or a Path, or is empty.
    """
    text = str(value) if isinstance(value, str | Path) else ""
    if not text or "\0" in text:
        raise BadInput(
            f"{quoted(value)} is neither a name nor a path",
            fix="give a non-empty str or a Path, such as the `path` of an Export",
        )
    return os.path.join(os.curdir, text) if isinstance(value, Path) and os.sep not in text else text


def optional_name(value: Named | None) -> str | None:
    return None if value is None else name_of(value)


def optional_path(value: Named | None) -> Path | None:
    """The path of a value; None if the value is None.

    Raises:
        BadInput: the value is not None, a str or a Path.
    """
    return None if value is None else path_of(value)


def path_of(value: Named) -> Path:
    """The path of a value.  Raises BadInput if the value is not a str or a Path."""
    name_of(value)
    return Path(value)


def place_of(kind: str, value: object) -> list[Path]:
    """The file or folder that an argument is read from, as a list of one path.

    The list is empty for a bundled name and for a value without a path.

    Args:
        kind: the kind of bundled files, such as "recipes".
        value: the argument: a name, a path or a loaded value.
    """
    if isinstance(value, str | Path):
        return existing(kind, name_of(value))
    # Loaded rows have a `source`, and loaded checkpoints have a `path`.
    source = getattr(value, "source", None) or getattr(value, "path", None)
    return existing("", str(source)) if source else []


def require_list(name: str, values: object) -> None:
    """Raise BadInput if the value is neither a list nor a tuple.

    Args:
        name: the name of the argument, for the message.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        fix = f"write [{quoted(values)}]" if isinstance(values, str | int) else None
        raise BadInput(f"{name} must be a list, not {quoted(values)}", fix=fix)


def require_whole(name: str, value: int, least: int) -> None:
    """Raise BadInput if the value is not an integer, is less than `least`, or has more than 63 bits.

    Args:
        name: the name of the argument, for the message.
        least: the smallest allowed value.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= LARGEST_INTEGER:
        raise BadInput(f"{name} must be a whole number of at least {least}, not {quoted(value)}")


def optional_whole(name: str, value: int | None, least: int) -> int | None:
    """Check an optional number and return it.

    Args:
        name: the name of the argument, for the message.
        least: the smallest allowed value.

    Raises:
        BadInput: the value is neither None nor an integer of at least `least`.
    """
    if value is not None:
        require_whole(name, value, least)
    return value


def require_wholes(name: str, values: Sequence[int], least: int) -> None:
    """Raise BadInput unless `values` is a non-empty list of integers, each at least `least`.

    Args:
        name: the name of the argument, for the message.
        least: the smallest allowed value.
    """
    require_list(name, values)
    if not values:
        raise BadInput(f"{name} is empty; give at least one number, or leave it out")
    for value in values:
        require_whole(name, value, least)


def require_finite(name: str, value: float, *, above: bool = False) -> None:
    """Raise BadInput unless `value` is a finite number of at least 0; with `above`, greater than 0.

    Args:
        name: the name of the argument, for the message.
    """
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # an integer larger than every float
        number = math.inf
    if not math.isfinite(number) or not (number > 0 if above else number >= 0):
        raise BadInput(
            f"{name} must be a finite number {'above' if above else 'of at least'} 0, not {quoted(value)}"
        )


def points(value: float | None) -> float | None:
    """Check the argument `max_drop`, in points of accuracy; returns it as a float, or None.

    Raises:
        BadInput: the value is not from 0 to 100, or is so small that a share was probably meant.
    """
    if value is None:
        return None
    require_finite("max_drop", value)
    if value > 100:
        raise BadInput(f"max_drop must be at most 100 points, not {value:g}")
    if problem := drop_problem(value):
        raise BadInput(f"max_drop={problem}")
    return float(value)


def require_data(data: object, **options: object) -> None:
    """Refuse options that need rows if `data` is None: a gate would pass without a measurement.

    Args:
        options: the value of each such option, by its name; None: the caller did not give the option.

    Raises:
        BadInput: one of the options is given without data.
    """
    if data is None and (given := [name for name, value in options.items() if value is not None]):
        names = " and ".join(given)
        raise BadInput(
            f"{names} cannot be used without data", fix=f"give rows as `data`, or leave out {names}"
        )


def format_of(row_format: "RowFormat | None", **sources: object) -> "RowFormat":
    """How to read the rows of files: `row_format`; if it is None, the default format.

    Args:
        sources: the arguments that can name data files, by parameter name.

    Raises:
        BadInput: `row_format` is not a RowFormat, or no argument names a file to read with it.
    """
    from nf_edge.model.data.row_format import DEFAULT, RowFormat

    if row_format is None:
        return DEFAULT
    if not isinstance(row_format, RowFormat):
        raise BadInput(
            f"row_format must be a RowFormat, not {quoted(row_format)}",
            fix='write row_format=nf_edge.RowFormat(task="rte")',
        )
    if not any(isinstance(source, str | Path) for source in sources.values()):
        raise BadInput(
            "the task, columns and labels of rows cannot be used without a file to read",
            fix=f"give a file as {' or '.join(sources)}, or leave out the task, columns and labels",
        )
    return row_format


def require_suitable(rows: "Rows", checkpoint: "Checkpoint", length: int, limit: int | None) -> None:
    """Check that loaded rows suit a checkpoint.

    Args:
        length: the model's largest number of tokens.
        limit: the caller's limit on the number of rows; must be None, because the rows are already read.

    Raises:
        BadInput: the rows were read for another model, a row is too long, or there is a limit.
    """
    if limit is not None:
        raise BadInput(
            "limit has no effect on rows that are already loaded",
            where=rows.source,
            fix="give limit to load_rows",
        )
    config = checkpoint.config
    if rows.made_for and (mismatch := rows.made_for.mismatch(config, checkpoint.tokenizer_file)):
        raise BadInput(
            f"was loaded for another checkpoint: {mismatch}",
            where=rows.source,
            fix="load the rows for this checkpoint",
        )
    rows.require_at_most(length)
    if not rows.rows:
        raise BadInput("has no rows", where=rows.source, fix="give data with at least one row")
    if any(not 0 <= token < config.vocab_size for row in rows.rows for token in row.input_ids):
        raise BadInput(
            f"has token ids outside the model's vocabulary, 0 to {config.vocab_size - 1}",
            where=rows.source,
            fix="load the rows for this checkpoint",
        )
    without = sum(row.label is None for row in rows.rows)
    if config.has_label and 0 < without < len(rows.rows):
        raise BadInput(
            f"has rows with a label, and {without:,} rows without one",
            where=rows.source,
            fix="give all rows a label, or none",
        )


def check_recipe_file(out: Path, stock: bool, overwrite: bool, read: list[Path]) -> None:
    """Check before a long job that a recipe file can be written.

    Args:
        stock: whether the recipe runs without nf-edge's kernels; if not, the file's name must start with
            `nf-`.
        read: files that the job reads; they are not replaced.

    Raises:
        BadInput: the file's name does not suit the recipe, or the file cannot be written.
    """
    from nf_edge.core.output_checks import check_file
    from nf_edge.core.recipe.recipe import NAME

    if out.suffix != ".yaml" or not re.fullmatch(NAME, out.stem) or stock == out.stem.startswith("nf-"):
        prefix = "" if stock else "nf-"
        raise BadInput(
            "is not a valid name for this recipe's file",
            where=out,
            fix=f"name it {prefix}NAME.yaml; NAME may have lower-case letters, digits and hyphens"
            + (" (nf- is for recipes that need kernels of nf-edge)" if stock else ""),
        )
    if not os.path.isdir(out.parent):
        raise BadInput(
            "is in a folder that does not exist", where=out, fix="make the folder, or choose another path"
        )
    check_file(out, overwrite=overwrite, sources=read)
