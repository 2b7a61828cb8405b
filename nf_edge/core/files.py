"""Write files and folders atomically: an interruption leaves the old content, and no user file is lost."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.schemas import is_artifact
from nf_edge.core.staging import exchange, is_utf8, move_new, stage, sweep
from nf_edge.core.system_errors import explaining

# The name, size and modification time of every entry below a path; None if the path does not exist.
Contents = frozenset[tuple[str, int, int]] | None
ANOTHER_PATH = "choose another path"
OVERWRITE = "give --overwrite to replace it, or choose another path"


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that may be replaced.

    Attributes:
        noun: the kind in messages, such as "an artifact".
        is_kind: whether a folder is of this kind.
        files: the names of all files that such a folder may hold; None if they are unknown.
    """

    noun: str
    is_kind: Callable[[Path], bool]
    files: Callable[[Path], Collection[str] | None]


@contextmanager
def staged_folder(
    target: Path, kind: FolderKind, *, overwrite: bool, sources: Iterable[Path] = ()
) -> Iterator[Path]:
    """A new folder that replaces `target` completely when the block succeeds.

    If `target` is a link, the folder it points to is replaced.  If the block deletes the new folder, `target`
    stays unchanged.

    Args:
        overwrite: whether an existing folder of this kind may be replaced.
        sources: files and folders that the job reads; a folder that is or contains one is not replaced.

    Raises:
        BadInput: `target` exists and may not be replaced, appeared or changed while the block ran, or cannot
            be written.
    """
    check_target(target, kind, overwrite=overwrite, sources=sources)
    with _staged(target) as new:
        new.mkdir()
        yield new


@contextmanager
def staged_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path for a new file that replaces `target` when the block succeeds.

    Raises:
        BadInput: as `staged_folder` does.
    """
    _check_file(target, overwrite=overwrite)
    with _staged(target) as new:
        yield new


def check_target(
    target: Path,
    kind: FolderKind,
    *,
    overwrite: bool,
    sources: Iterable[Path] = (),
    other_outputs: Iterable[Path] = (),
) -> None:
    """Check before a long job that `staged_folder` will accept the folder.

    Args:
        sources: files and folders that the job reads; a folder that is or contains one is not replaced.
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
    """Check before a long job that `staged_file` will accept the file.

    Args:
        sources: files and folders that the job reads; none of them is replaced.

    Raises:
        BadInput: the file exists and may not be replaced, is inside an artifact, or cannot be created.
    """
    with explaining(target):
        _check_not_within(resolved(target).parents, target)
    _check_file(target, overwrite=overwrite, sources=sources)


def _check_file(target: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
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
        BadInput: it is a file, is inside an artifact, or cannot be created or written to.
    """
    with explaining(folder):
        place = resolved(folder, may_be_here=True)
        if place.exists() and not place.is_dir():
            raise BadInput("is a file, not a folder", where=folder, fix="give the path of a folder")
        _check_not_within((place, *place.parents), folder)
        _check_writable(place / "a")


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents for the block; afterwards, remove those that are still empty.

    Raises:
        BadInput: the folder cannot be created.
    """
    missing = [each for each in (folder, *folder.parents) if not os.path.lexists(each)]
    try:
        with explaining(folder):
            folder.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            for each in missing:
                each.rmdir()


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


def utf8_text(name: str | Path) -> str:
    """A path or an argument as text; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a text file atomically.  Characters that UTF-8 cannot encode become "?".

    Raises:
        BadInput: the file cannot be written.
    """
    write_bytes(path, text.encode("utf-8", "replace"), overwrite=overwrite)


def write_bytes(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write a file atomically: first under a temporary name, then moved to its path.

    Raises:
        BadInput: the file cannot be written.
    """
    with staged_file(path, overwrite=overwrite) as new:
        new.write_bytes(content)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A temporary path; its content replaces `target` after the block, unless `target` changed in the
    meantime.
    """
    with explaining(target):
        place = resolved(target)
        before = _contents(place)
        with created_folder(place.parent), stage(place) as new:
            yield new
            if os.path.lexists(new):
                _move_into_place(new, place, before, target)


def _move_into_place(new: Path, place: Path, before: Contents, target: Path) -> None:
    """Move `new` to `place`, unless the content of `place` differs from `before`."""
    changed = BadInput(
        "another program created or changed it during this run, so it was not replaced",
        where=target,
        fix="check its content, then run again with another path",
    )
    if before is None:
        try:
            move_new(new, place)
        except FileExistsError:
            raise changed from None
        return
    if _contents(place) != before:
        raise changed
    old = exchange(new, place)
    try:
        # `place` may have changed between the check and the exchange.
        if _contents(old) != before:
            raise changed
    except BaseException:
        exchange(old, place)
        raise


def _contents(path: Path) -> Contents:
    if not os.path.lexists(path):
        return None
    entries = [path]
    for folder, folders, files in os.walk(path):
        entries += [Path(folder, name) for name in folders + files]
    return frozenset(_entry(path, each) for each in entries)


def _entry(root: Path, path: Path) -> tuple[str, int, int]:
    status, name = path.lstat(), str(path.relative_to(root))
    # A folder is compared by its entries, because their changes may leave its size and time unchanged.
    return (name, -1, -1) if path.is_dir() else (name, status.st_size, status.st_mtime_ns)


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
    """Raise BadInput if the target is inside an artifact, which may contain only the files of its export."""
    if artifact := next((each for each in folders if is_artifact(each)), None):
        raise BadInput(
            f"is inside the artifact {artifact}, which may hold only the files of its export",
            where=target,
            fix=ANOTHER_PATH,
        )


def _check_no_other_files(target: Path, place: Path, kind: FolderKind) -> None:
    """Raise BadInput if the folder to replace contains files that do not belong to its kind."""
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
    """Raise BadInput if the target is or contains something that the job reads."""
    for source in sources:
        path = Path(os.path.realpath(source))
        if place == path or place in path.parents:
            raise BadInput(
                f"would replace {source}, an input of this command", where=target, fix=ANOTHER_PATH
            )
