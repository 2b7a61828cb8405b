"""The data folders that ship with the package: recipes, devices and checkpoints.

`recipes/` and `devices/` are at the top of the repository, and a wheel has copies inside the package.  So the
package is searched first, then its parent folder.
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
    """The sorted names of the bundled files of a kind, without their suffix.

    Args:
        suffix: the suffix of the files; "" for checkpoints, which are folders.
    """
    entries = folder(kind).iterdir()
    if suffix:
        return sorted(entry.stem for entry in entries if entry.suffix == suffix)
    return sorted(entry.name for entry in entries if entry.is_dir() and (entry / "config.json").is_file())


def existing(kind: str, name: str | None) -> list[Path]:
    """The user's file or folder that an argument names, as a list of one path.

    The list is empty for a bundled name, for None, and for a path that does not exist.  A job reads the path
    in this list, so it must not replace it.

    Args:
        kind: the kind of bundled files that the argument may name, such as `recipes`; "" for none.
    """
    if name is None or (kind and name in names(kind, "" if kind == "checkpoints" else ".yaml")):
        return []
    # Not `Path.exists`, which raises for a name that is too long for any file.
    return [Path(name)] if os.path.exists(name) else []


def resolve(kind: str, name: str, suffix: str = ".yaml") -> Path:
    """The path of the bundled file or folder with this name; if there is none, the user's path `name`.

    A name with a slash or the suffix is always a user's path, so `./name` is never a bundled name.

    Raises:
        BadInput: `name` is neither a bundled name nor an existing path; the message lists the bundled names.
    """
    is_path = "/" in name or "\\" in name or (suffix != "" and name.endswith(suffix))
    if not is_path and name in names(kind, suffix):
        return folder(kind) / (name + suffix)
    path = Path(name)
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # no permission, a name that is too long, or a NUL character
        raise BadInput(f"cannot be read ({getattr(error, 'strerror', error)})", where=name) from error
    # The path may be a pipe or a device: reading it later reports that.
    if exists and (not path.is_dir() if suffix else path.is_dir()):
        return path
    known = ", ".join(names(kind, suffix))
    noun = {"recipes/training": "training recipe"}.get(kind, kind.removesuffix("s"))
    kind_of_path = "file" if suffix else "folder"
    what = f"is not a {kind_of_path}" if exists else f"no such {noun}"
    raise BadInput(what, where=name, fix=f"give the path of a {kind_of_path}, or one of: {known}")


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
