"""The data folders that ship with the package: recipes, devices and checkpoints, and the user's folders.

`recipes/` and `devices/` are at the top of the repository, and a wheel has copies inside the package.  So the
package is searched first, then its parent folder.

A name means one file.  If a bundled file and a user's file, or two of the user's, have one name and different
content, the name is refused; their paths still work.
"""

import filecmp
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from nf_edge.core.environment import configuration_folder
from nf_edge.core.errors import BadInput, one_line

# The kinds of files that are also found by name in the user's folders.
IN_USER_FOLDERS = ("devices",)
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


def user_folders(kind: str) -> list[Path]:
    """The user's folders of a kind: `./KIND`, and KIND in the configuration folder.

    The list leaves out folders that do not exist, and the bundled one, in which a developer may work.
    """
    places = (Path(kind), configuration_folder() / kind) if kind in IN_USER_FOLDERS else ()
    bundled = os.path.realpath(folder(kind))
    return [each for each in places if os.path.isdir(each) and os.path.realpath(each) != bundled]


def user_names(kind: str, suffix: str = ".yaml") -> list[str]:
    """The sorted names of the files of a kind in the user's folders, without their suffix.

    A copy of a bundled file is left out.
    """
    stems = {Path(entry).stem for each in user_folders(kind) for entry in _entries(each, suffix)}
    bundled = folder(kind)
    return sorted(name for name in stems if [path.parent for path in named(kind, name)] != [bundled])


def _entries(place: Path, suffix: str) -> list[str]:
    try:
        return [entry for entry in os.listdir(place) if entry.endswith(suffix) and not entry.startswith(".")]
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=place) from error


def named(kind: str, name: str, suffix: str = ".yaml") -> list[Path]:
    """The bundled and the user's files or folders with this name; of equal files, only the first.

    The list is empty for a path: a name with a slash or the suffix.

    Args:
        kind: `recipes`, `devices` or `checkpoints`.
        suffix: the suffix of the files; "" for checkpoints, which are folders.
    """
    if "/" in name or "\\" in name or (suffix != "" and name.endswith(suffix)):
        return []
    paths = [folder(kind) / (name + suffix)] if name in names(kind, suffix) else []
    for place in user_folders(kind):
        path = place / (name + suffix)
        if os.path.lexists(path) and not any(_equal(path, other) for other in paths):
            paths.append(path)
    return paths


def _equal(path: Path, other: Path) -> bool:
    try:
        return os.path.isfile(path) and os.path.isfile(other) and filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


def existing(kind: str, name: str | None) -> list[Path]:
    """The user's file or folder that an argument names, as a list of one path.

    The list is empty for a bundled name, for None, and for a path that does not exist.  A job reads the path
    in this list, so it must not replace it.

    Args:
        kind: the kind of bundled files that the argument may name, such as `recipes`; "" for none.
    """
    if name is None:
        return []
    if kind and (paths := named(kind, name, "" if kind == "checkpoints" else ".yaml")):
        return [path for path in paths if path.parent != folder(kind)]
    # Not `Path.exists`, which raises for a name that is too long for any file.
    return [Path(name)] if os.path.exists(name) else []


def resolve(kind: str, name: str, suffix: str = ".yaml") -> Path:
    """The path of the file or folder with this name (see `named`); if there is none, the path `name`.

    A name with a slash or the suffix is always a path, so `./name` is never a bundled name.

    Args:
        kind: `recipes`, `devices` or `checkpoints`.
        suffix: the suffix of the files; "" for checkpoints, which are folders.

    Raises:
        BadInput: several files have the name; or `name` is neither a name nor an existing path, and the
            message lists the names.
    """
    if paths := named(kind, name, suffix):
        if len(paths) > 1:
            places = ", ".join(str(each) for each in paths)
            raise BadInput(
                f"several files have this name: {places}",
                where=name,
                fix=f"rename your file and its id, or give its path: {paths[-1]}",
            )
        return paths[0]
    path = Path(name)
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # no permission, a name that is too long, or a NUL character
        raise BadInput(f"cannot be read ({getattr(error, 'strerror', error)})", where=name) from error
    # The path may be a pipe or a device: reading it later reports that.
    if exists and (not path.is_dir() if suffix else path.is_dir()):
        return path
    known = ", ".join(map(one_line, [*names(kind, suffix), *user_names(kind, suffix)]))
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
