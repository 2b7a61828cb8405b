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


def name_of(value: Named) -> str:
    """A name or a path as text; a Path is never the name of something that ships.

    Raises:
        BadInput: it is neither.
    """
    text = str(value) if isinstance(value, str | Path) else ""
    if not text or "\0" in text:
        raise BadInput(f"{quoted(value)} is neither a name nor a path")
    return os.path.join(os.curdir, text) if isinstance(value, Path) and os.sep not in text else text


def optional_name(value: Named | None) -> str | None:
    return None if value is None else name_of(value)


def path_of(value: Named) -> Path:
    """Raises BadInput where it is neither a str nor a Path."""
    name_of(value)
    return Path(value)


def place_of(kind: str, value: object) -> list[Path]:
    """The file or folder that an argument is read from, where it is named by a path; see `existing`."""
    if isinstance(value, str | Path):
        return existing(kind, name_of(value))
    # Of rows, what they were read from; of a checkpoint, its folder.
    source = getattr(value, "source", None) or getattr(value, "path", None)
    return existing("", str(source)) if source else []


def require_list(name: str, values: object) -> None:
    """Refuse a single value, or none, where a list is taken.

    Raises:
        BadInput: it is no list or tuple.
    """
    if not isinstance(values, Sequence) or isinstance(values, str):
        fix = f"write [{quoted(values)}]" if isinstance(values, str | int) else None
        raise BadInput(f"{name}={quoted(values)} is not a list", fix=fix)


def require_whole(name: str, value: int, least: int) -> None:
    """Raises BadInput where it is not a whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise BadInput(f"{name}={quoted(value)} is not a whole number from {least} on")


def optional_whole(name: str, value: int | None, least: int) -> int | None:
    """Raises BadInput where it is not a whole number from `least` on."""
    if value is not None:
        require_whole(name, value, least)
    return value


def require_wholes(name: str, values: Sequence[int], least: int) -> None:
    """Raises BadInput where it is not a list of whole numbers from `least` on, or an empty one."""
    require_list(name, values)
    if not values:
        raise BadInput(f"{name} is empty: give numbers, or leave it out")
    for value in values:
        require_whole(name, value, least)


def require_finite(name: str, value: float, *, above: bool = False) -> None:
    """Raises BadInput where it is not a finite number from 0 on, or above it."""
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:  # a whole number beyond all floats
        number = math.inf
    if not math.isfinite(number) or not (number > 0 if above else number >= 0):
        raise BadInput(f"{name}={quoted(value)} is not a finite number {'above' if above else 'from'} 0")


def points(value: float | None) -> float | None:
    """`max_drop`: points of accuracy that may be lost, 0 to 100.

    Raises:
        BadInput: it is no such number, or one that is meant as a share.
    """
    if value is None:
        return None
    require_finite("max_drop", value)
    if value > 100:
        raise BadInput(f"max_drop={value:g} is more than 100 points")
    if problem := drop_problem(value):
        raise BadInput(f"max_drop={problem}")
    return float(value)


def require_data(data: object, **options: object) -> None:
    """Refuse options about labelled rows where there are none: a gate that is not measured would pass.

    Raises:
        BadInput: one of them is given, and no data.
    """
    if data is None and (given := [name for name, value in options.items() if value is not None]):
        raise BadInput(f"{' and '.join(given)} without data: give labelled rows, or leave it out")


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
            fix="read the rows for this checkpoint",
        )
    if config.has_label and any(row.label is None for row in rows.rows):
        raise BadInput("has rows without a label", where=rows.source)


def check_recipe_file(out: Path, stock: bool, overwrite: bool, read: list[Path]) -> None:
    """Refuse, before the work, a file that the recipe cannot be written to.

    Args:
        stock: whether the recipe needs no kernels of nf-edge.
        read: what is read, which is not replaced.

    Raises:
        BadInput: its name is not one for the recipe, or it may not be written.
    """
    from nf_edge.core.files import check_file
    from nf_edge.core.recipe.recipe import NAME

    if out.suffix != ".yaml" or not re.fullmatch(NAME, out.stem) or stock == out.stem.startswith("nf-"):
        prefix = "" if stock else "nf-"
        raise BadInput(
            "is not a name for this recipe's file",
            where=out,
            fix=f"name it {prefix}NAME.yaml, of lower-case letters, digits and hyphens"
            + (" (nf- is for recipes that need kernels of nf-edge)" if stock else ""),
        )
    if not os.path.isdir(out.parent):
        raise BadInput("is in a folder that does not exist", where=out, fix="make it, or name another place")
    check_file(out, overwrite=overwrite, sources=read)
