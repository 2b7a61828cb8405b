"""The folders of data that travel with the package: recipes, devices, checkpoints.

`recipes/` and `devices/` stand at the top of the repository and are copied into the package
when a wheel is built, so they are looked for inside the package first, then beside it.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from nf_edge.core.errors import BadInput

PACKAGE = Path(__file__).parent.parent
Loaded = TypeVar("Loaded")


def folder(kind: str) -> Path:
    """The folder of bundled `recipes`, `devices` or `checkpoints`."""
    inside = PACKAGE / kind
    return inside if inside.is_dir() else PACKAGE.parent / kind


def names(kind: str, suffix: str = ".yaml") -> list[str]:
    """Names of the bundled things of a kind: files without their suffix, or folders (suffix "")."""
    entries = folder(kind).iterdir()
    if suffix:
        return sorted(entry.stem for entry in entries if entry.suffix == suffix)
    return sorted(entry.name for entry in entries if entry.is_dir() and (entry / "config.json").is_file())


def existing(kind: str, name: str | None) -> list[Path]:
    """The file or folder that an argument names, if there is one: what OUT must not take the place of.

    Args:
        kind: what bundled things it may also name, such as `recipes`; "" for none.
    """
    if name is None or (kind and name in names(kind, "" if kind == "checkpoints" else ".yaml")):
        return []
    # Not `Path.exists`, which raises for a name that is too long for any file.
    return [Path(name)] if os.path.exists(name) else []


def resolve(kind: str, name: str, suffix: str = ".yaml") -> Path:
    """A bundled thing by its name, or a path that the user gave.

    A name is tried first; anything with a slash or the suffix is a path (`./name` forces one).

    Raises:
        BadInput: neither; the message lists the names there are.
    """
    is_path = "/" in name or "\\" in name or (suffix != "" and name.endswith(suffix))
    if not is_path and name in names(kind, suffix):
        return folder(kind) / (name + suffix)
    path = Path(name)
    try:
        there = path.exists()
    except (OSError, ValueError) as error:  # no permission, a name too long for any file, a NUL
        raise BadInput(f"cannot be read ({getattr(error, 'strerror', error)})", where=name) from error
    # What is no folder may be no file either; whoever reads it says so.
    if there and (not path.is_dir() if suffix else path.is_dir()):
        return path
    known = ", ".join(names(kind, suffix))
    noun = {"recipes/training": "training recipe"}.get(kind, kind.removesuffix("s"))
    wanted = "file" if suffix else "folder"
    what = f"is not a {wanted}" if there else f"no such {noun}"
    raise BadInput(what, where=name, fix=f"give the path of a {wanted}, or one of: {known}")


def load_each(names: Iterable[str], load: Callable[[str], Loaded]) -> list[Loaded]:
    """The results of `load` for all names.

    Raises:
        BadInput: at least one cannot be loaded; the message has the errors of all of them.
    """
    loaded, errors = [], []
    for name in names:
        try:
            loaded.append(load(name))
        except BadInput as error:
            errors.append(str(error))
    if errors:
        raise BadInput("\n".join(errors))
    return loaded
