"""What functions of the API take: names, paths or values, and numbers within bounds."""

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
    from nf_edge.model import Checkpoint, ModelConfig
    from nf_edge.model.data.rows import Rows

Named = str | Path
# Of a recipe, by nf_edge.core.recipe.recipe.
NAME = r"[a-z0-9][a-z0-9-]*"


def name_of(value: Named) -> str:
    """A name or a path as text; a Path is never the name of something that ships.

    Raises:
        BadInput: it is neither.
    """
    if isinstance(value, Path):
        text = str(value)
        value = text if os.sep in text else os.path.join(os.curdir, text)
    if isinstance(value, str) and value:
        if "\0" in value:
            raise BadInput(f"{quoted(value)} has a NUL, which no path can have")
        return value
    raise BadInput(f"{quoted(value)} is neither a name nor a path")


def optional_name(value: Named | None) -> str | None:
    return None if value is None else name_of(value)


def path_of(value: Named) -> Path:
    return Path(name_of(value))


def place_of(kind: str, value: object) -> list[Path]:
    """The file or folder that an argument is read from, where it is named by a path; see `existing`."""
    if isinstance(value, str | Path):
        return existing(kind, name_of(value))
    # Of rows, what they were read from; of a checkpoint, its folder.
    source = getattr(value, "source", None) or getattr(value, "path", None)
    return existing("", str(source)) if source else []


def whole(name: str, value: int | None, least: int) -> int | None:
    """A whole number from `least` on.

    Raises:
        BadInput: it is none.
    """
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
        raise BadInput(f"{name}={quoted(value)} is not a whole number from {least} on")
    return value


def wholes(name: str, values: Sequence[int] | None, least: int) -> Sequence[int] | None:
    """Whole numbers from `least` on, at least one.

    Raises:
        BadInput: one of them is none, or there are none.
    """
    if values is None:
        return None
    numbers = [values] if isinstance(values, int) else list(values)
    if not numbers:
        raise BadInput(f"{name} is empty: give numbers, or leave it out")
    for value in numbers:
        whole(name, value, least)
    return numbers


def finite(name: str, value: float | None, *, least: float = 0.0, above: bool = False) -> float | None:
    """A finite number from `least` on, or above it.

    Raises:
        BadInput: it is none.
    """
    if value is None:
        return None
    if (
        not isinstance(value, int | float)
        or not math.isfinite(value)
        or value < least
        or (above and value == least)
    ):
        raise BadInput(
            f"{name}={quoted(value)} is not a finite number {'above' if above else 'from'} {least:g}"
        )
    return float(value)


def points(value: float | None) -> float | None:
    """`max_drop`: points of accuracy that may be lost, 0 to 100.

    Raises:
        BadInput: it is no such number, or one that is meant as a share.
    """
    number = finite("max_drop", value)
    if number is not None and number > 100:
        raise BadInput(f"max_drop={number:g} is more than 100 points")
    if number is not None and (problem := drop_problem(number)):
        raise BadInput(f"max_drop={problem}")
    return number


def rows_of(data: "Named | Rows", checkpoint: "Checkpoint", limit: int | None, length: int) -> "Rows":
    """The rows that data names, read for a checkpoint and cut to a length; or rows that were read before.

    Raises:
        BadInput: as `load_rows` does, or rows that were read before do not suit.
    """
    from nf_edge.model.data.rows import Rows, load_rows

    if not isinstance(data, Rows):
        return load_rows(name_of(data), checkpoint, limit, length=length)
    if limit is not None:
        raise BadInput(
            "were read already, so limit cannot be used", where=data.source, fix="give it to load_rows"
        )
    _require_suitable(data, checkpoint.config)
    data.require_at_most(length)
    return data


def _require_suitable(rows: "Rows", config: "ModelConfig") -> None:
    """Refuse rows that were read for another model."""
    if not rows.rows:
        raise BadInput("has no rows", where=rows.source)
    if any(not 0 <= token < config.vocab_size for row in rows.rows for token in row.input_ids):
        raise BadInput(
            f"has tokens outside the vocabulary of {config.vocab_size}",
            where=rows.source,
            fix="read the rows for this very checkpoint",
        )
    if config.has_label and any(row.label is None for row in rows.rows):
        raise BadInput("has rows without a label", where=rows.source)


def check_recipe_file(out: Path, stock: bool, overwrite: bool, read: list[Path]) -> None:
    """Refuse a place for a recipe: before the work, not after it.

    Args:
        stock: whether the recipe needs no kernels of nf-edge.
        read: what is read, which is not replaced.

    Raises:
        BadInput: it is no name for the recipe, or may not be written.
    """
    from nf_edge.core.files import check_file

    if out.suffix != ".yaml" or not re.fullmatch(NAME, out.stem) or stock == out.stem.startswith("nf-"):
        prefix = "" if stock else "nf-"
        raise BadInput(
            "is no name for this recipe's file",
            where=out,
            fix=f"name it {prefix}NAME.yaml, of lower-case letters, digits and hyphens"
            + (" (nf- is for recipes that need kernels of nf-edge)" if stock else ""),
        )
    if not os.path.isdir(out.parent):
        raise BadInput("is in a folder that does not exist", where=out, fix="make it, or name another place")
    check_file(out, overwrite=overwrite, sources=read)
