"""Writing so that an interruption leaves what was there before, and nobody's files are lost."""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.schemas import is_artifact
from nf_edge.core.staging import exchange, is_text, move_new, stage, sweep
from nf_edge.core.system_errors import explaining

# Every entry below a path, with its size and when it was written last; None where there is nothing.
Contents = frozenset[tuple[str, int, int]] | None


@dataclass(frozen=True)
class Kind:
    """A kind of folder that may be replaced.

    Attributes:
        noun: such as "an artifact".
        has: whether a folder is one.
        files: names of all files that may be in one, and nothing else; None where they are not known.
    """

    noun: str
    has: Callable[[Path], bool]
    files: Callable[[Path], Collection[str] | None]


@contextmanager
def staged_folder(
    target: Path, kind: Kind, *, overwrite: bool, sources: Iterable[Path] = ()
) -> Iterator[Path]:
    """A new folder that replaces `target` completely when the block ends well.

    A link stays, and its target is replaced.  If the block deletes the new folder, `target` stays as it is.

    Args:
        overwrite: whether an existing folder may be replaced; only one of the kind is.
        sources: files and folders that are read; a folder that is or has one of them is not replaced.

    Raises:
        BadInput: `target` exists and may not be replaced, appeared or was changed while the block ran, or
            cannot be written.
    """
    check_target(target, kind, overwrite=overwrite, sources=sources)
    with _staged(target) as new:
        new.mkdir()
        yield new


@contextmanager
def staged_file(target: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path for a new file that takes the place of `target` when the block ends well.

    Raises:
        BadInput: as `staged_folder` does.
    """
    _check_file(target, overwrite=overwrite)
    with _staged(target) as new:
        yield new


def check_target(
    target: Path, kind: Kind, *, overwrite: bool, sources: Iterable[Path] = (), beside: Iterable[Path] = ()
) -> None:
    """Refuse a folder that `staged_folder` would refuse: before the work, not after it.

    Args:
        sources: files and folders that are read; a folder that is or has one of them is not replaced.
        beside: what else will be written.

    Raises:
        BadInput: it exists and may not be replaced, or cannot be made.
    """
    with explaining(target):
        place = resolved(target)
        _check_not_within(place.parents, target)
        for each in (place, *beside):
            _check_can_be(each)
        sweep(place.parent)
        if not os.path.lexists(place):
            return
        if not place.is_dir() or not kind.has(place):
            raise BadInput(f"exists and is not {kind.noun}", where=target, fix="name another place")
        if not overwrite:
            raise BadInput(
                "exists", where=target, fix="give --overwrite to replace it, or name another place"
            )
        _check_sources(target, place, sources)
        _check_nothing_else(target, place, kind)
        if not os.access(place, os.W_OK | os.X_OK):
            raise BadInput("is read-only, and so not replaced", where=target, fix="name another place")


def check_file(target: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    """Refuse a file that a user may not have written: before the work, not after it.

    Args:
        sources: files and folders that are read; a file that is one of them is not replaced.

    Raises:
        BadInput: it exists and may not be replaced, is within an artifact, or cannot be made.
    """
    with explaining(target):
        _check_not_within(resolved(target).parents, target)
    _check_file(target, overwrite=overwrite, sources=sources)


def _check_file(target: Path, *, overwrite: bool, sources: Iterable[Path] = ()) -> None:
    with explaining(target):
        place = resolved(target)
        _check_can_be(place)
        sweep(place.parent)
        if not os.path.lexists(place):
            return
        if not place.is_file():
            raise BadInput("exists and is not a file", where=target, fix="name another place")
        if not overwrite:
            raise BadInput(
                "exists", where=target, fix="give --overwrite to replace it, or name another place"
            )
        _check_sources(target, place, sources)


def check_folder(folder: Path) -> None:
    """Refuse a folder that nothing can be put into, whether or not it exists.

    Raises:
        BadInput: it is a file, or cannot be made or written to.
    """
    with explaining(folder):
        place = resolved(folder, may_be_here=True)
        if place.exists() and not place.is_dir():
            raise BadInput("is a file", where=folder, fix="name a folder")
        _check_not_within((place, *place.parents), folder)
        _check_can_be(place / "a")


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Make a folder and its parents for the block; those that are still empty after it are deleted.

    Raises:
        BadInput: it cannot be made.
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
    """Where a path leads, links followed.

    Raises:
        BadInput: it is not UTF-8, or not the name of something in a folder.
    """
    place = Path(os.path.realpath(target))
    if not is_text(place):
        fix = "name another place"
        raise BadInput("is not UTF-8, and runtimes open no other path", where=target, fix=fix)
    if not may_be_here and (place == Path.cwd() or place in Path.cwd().parents):
        raise BadInput("is the folder that you are in, or around it", where=target, fix="name another place")
    return place


def as_text(name: str | Path) -> str:
    """A path or an argument in UTF-8, its bytes that are not replaced by U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a text file beside its place and move it there when whole.  What is not UTF-8 becomes "?"."""
    write_bytes(path, text.encode("utf-8", "replace"), overwrite=overwrite)


def write_bytes(path: Path, content: bytes, *, overwrite: bool = True) -> None:
    """Write a file beside its place and move it there when whole.

    Raises:
        BadInput: it cannot be written.
    """
    with staged_file(path, overwrite=overwrite) as new:
        new.write_bytes(content)


@contextmanager
def _staged(target: Path) -> Iterator[Path]:
    """A path to make something at that takes the place of what is there now, and of nothing else."""
    with explaining(target):
        place = resolved(target)
        before = _contents(place)
        with folder_made(place.parent), stage(place) as new:
            yield new
            if os.path.lexists(new):
                _place(new, place, before, target)


def _place(new: Path, place: Path, before: Contents, target: Path) -> None:
    """Move it there, unless another has come to be there."""
    changed = BadInput(
        "was made or changed by another while this ran, and is left as it is",
        where=target,
        fix="look at what is there, and name another place",
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
        # Between that look and the exchange there was a moment.
        if _contents(old) != before:
            raise changed
    except BaseException:
        exchange(old, place)
        raise


def _contents(path: Path) -> Contents:
    if not os.path.lexists(path):
        return None
    found = [path]
    for folder, folders, files in os.walk(path):
        found += [Path(folder, name) for name in folders + files]
    return frozenset(_entry(path, each) for each in found)


def _entry(root: Path, path: Path) -> tuple[str, int, int]:
    status, name = path.lstat(), str(path.relative_to(root))
    # Of a folder its entries tell more, and reading it may change nothing.
    return (name, -1, -1) if path.is_dir() else (name, status.st_size, status.st_mtime_ns)


def _check_can_be(place: Path) -> None:
    """Refuse a path whose name the file system does not take, or whose folder cannot be written or made."""
    with contextlib.suppress(FileNotFoundError):
        place.lstat()  # says what is wrong with its name, or that a file is among its folders
    around = next(each for each in place.parents if os.path.lexists(each))
    if not around.is_dir():
        raise BadInput("is under a file", where=place, fix="name another place")
    if not os.access(around, os.W_OK | os.X_OK):
        raise BadInput("you may not write to this folder", where=around, fix="name another place")


def _check_not_within(folders: Iterable[Path], target: Path) -> None:
    """Refuse a target in a folder that is an artifact: it would no longer hold what was exported alone."""
    if around := next((each for each in folders if is_artifact(each)), None):
        raise BadInput(
            f"is within the artifact {around}, which holds its own files only",
            where=target,
            fix="name another place",
        )


def _check_nothing_else(target: Path, place: Path, kind: Kind) -> None:
    """Refuse to replace a folder in which something lies that is not of its kind."""
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
            f"holds more than {kind.noun}, which would be lost: {shown}{' …' if len(others) > 5 else ''}",
            where=target,
            fix="move that out of the folder, or name another place",
        )


def _check_sources(target: Path, place: Path, sources: Iterable[Path]) -> None:
    for source in sources:
        read = Path(os.path.realpath(source))
        if place == read or place in read.parents:
            raise BadInput(
                f"would take the place of {source}, which is read", where=target, fix="name another place"
            )
