"""Check before a job that its output can be written and that no user file would be lost."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.schemas import is_artifact
from nf_edge.core.staging import is_utf8, sweep
from nf_edge.core.system_errors import explaining

ANOTHER_PATH = "choose another path"
OVERWRITE = "give --overwrite to replace it, or choose another path"


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that may be replaced.

    Attributes:
        noun: the kind in messages, such as "an artifact".
        is_kind: a function that returns true for a folder of this kind.
        files: a function that returns the names of all files that a folder of this kind may hold; None if
            they are unknown.
    """

    noun: str
    is_kind: Callable[[Path], bool]
    files: Callable[[Path], Collection[str] | None]


def check_target(
    target: Path,
    kind: FolderKind,
    *,
    overwrite: bool,
    sources: Iterable[Path] = (),
    other_outputs: Iterable[Path] = (),
) -> None:
    """Check before a long job that `staged_folder` can write the folder.

    Args:
        kind: the kind of folder that may be replaced.
        sources: files and folders that the job reads.  `target` is not replaced if it is or contains one of
            them.
        other_outputs: other paths that the job will write.

    Raises:
        BadInput: the folder exists and may not be replaced, or cannot be created.
    """
    with explaining(target):
        place = resolved(target)
        _check_not_within(place.parents, target)
        for each in (place, *other_outputs):
            _check_writable(each)
        sweep(place.parent)
        if not os.path.lexists(place):
            return
        if not place.is_dir() or not kind.is_kind(place):
            raise BadInput(
                f"exists and is not {kind.noun}, so it is not replaced", where=target, fix=ANOTHER_PATH
            )
        if not overwrite:
            raise BadInput("already exists", where=target, fix=OVERWRITE)
        _check_sources(target, place, sources)
        _check_no_other_files(target, place, kind)
        if not os.access(place, os.W_OK | os.X_OK):
            raise BadInput("is a read-only folder and cannot be replaced", where=target, fix=ANOTHER_PATH)


def check_file(target: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Check before a long job that `staged_file` can write the file.

    Args:
        sources: files and folders that the job reads; none of them is replaced.

    Raises:
        BadInput: the file exists and may not be replaced, is inside an artifact, or cannot be created.
    """
    with explaining(target):
        _check_not_within(resolved(target).parents, target)
    check_replaceable(target, overwrite=overwrite, sources=sources)


def check_replaceable(target: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Check like `check_file`, but the file may also be inside an artifact.

    Raises:
        BadInput: the file exists and may not be replaced, or cannot be created.
    """
    with explaining(target):
        place = resolved(target)
        _check_writable(place)
        sweep(place.parent)
        if not os.path.lexists(place):
            return
        if not place.is_file():
            raise BadInput("exists and is not a file, so it is not replaced", where=target, fix=ANOTHER_PATH)
        if not overwrite:
            raise BadInput("already exists", where=target, fix=OVERWRITE)
        _check_sources(target, place, sources)


def check_folder(folder: Path) -> None:
    """Check that files can be written into a folder, which need not exist yet.

    Raises:
        BadInput: the path is a file, is inside an artifact, or cannot be created or written to.
    """
    with explaining(folder):
        place = resolved(folder, may_be_here=True)
        if place.exists() and not place.is_dir():
            raise BadInput("is a file, not a folder", where=folder, fix="give the path of a folder")
        _check_not_within((place, *place.parents), folder)
        _check_writable(place / "a")


def resolved(target: Path, *, may_be_here: bool = False) -> Path:
    """The absolute path with all links followed.

    Args:
        may_be_here: whether the path may be the current folder or one of its parents.

    Raises:
        BadInput: the path is not UTF-8, or is the current folder or one of its parents.
    """
    place = Path(os.path.realpath(target))
    if not is_utf8(place):
        what = "this path is not valid UTF-8, so runtimes cannot open the file"
        raise BadInput(what, where=target, fix=ANOTHER_PATH)
    if not may_be_here and (place == Path.cwd() or place in Path.cwd().parents):
        what = "is the current folder or one of its parents, which nf-edge does not replace"
        raise BadInput(what, where=target, fix=ANOTHER_PATH)
    return place


def _check_writable(place: Path) -> None:
    """Raise BadInput if a path has an invalid name, or its folder cannot be created or written."""
    with contextlib.suppress(FileNotFoundError):
        place.lstat()  # raises an error for a bad name or for a file in place of a parent folder
    parent = next(each for each in place.parents if os.path.lexists(each))
    if not parent.is_dir():
        raise BadInput(f"cannot be created, because {parent} is not a folder", where=place, fix=ANOTHER_PATH)
    if not os.access(parent, os.W_OK | os.X_OK):
        raise BadInput("you have no permission to write to this folder", where=parent, fix=ANOTHER_PATH)


def _check_not_within(folders: Iterable[Path], target: Path) -> None:
    """Raise BadInput if one of the target's parent `folders` is an artifact, which takes no other files."""
    if artifact := next((each for each in folders if is_artifact(each)), None):
        raise BadInput(
            f"is inside the artifact {artifact}, which may hold only the files of its export",
            where=target,
            fix=ANOTHER_PATH,
        )


def _check_no_other_files(target: Path, place: Path, kind: FolderKind) -> None:
    """Raise BadInput if the folder to replace contains files that do not belong to its kind.

    Args:
        target: the folder as the user gives it, for messages.
        place: `target` with all links followed.
    """
    known = kind.files(place)
    with os.scandir(place) as entries:
        others = sorted(
            entry.name
            for entry in entries
            if entry.is_dir(follow_symlinks=False) or (known is not None and entry.name not in known)
        )
    if others:
        shown = ", ".join(ascii(name) if not name.isprintable() else name for name in others[:5])
        raise BadInput(
            f"contains files that are not part of {kind.noun} and would be deleted: {shown}"
            f"{' …' if len(others) > 5 else ''}",
            where=target,
            fix="move them out of the folder, or choose another path",
        )


def _check_sources(target: Path, place: Path, sources: Iterable[Path]) -> None:
    """Raise BadInput if the target is or contains something that the job reads.

    Args:
        target: the path as the user gives it, for messages.
        place: `target` with all links followed.
        sources: files and folders that the job reads.
    """
    for source in sources:
        path = Path(os.path.realpath(source))
        if place == path or place in path.parents:
            raise BadInput(
                f"would replace {source}, an input of this command", where=target, fix=ANOTHER_PATH
            )
