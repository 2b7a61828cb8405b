"""Write files and folders atomically: an interruption leaves the old content, and no user file is lost."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nf_edge.core.errors import BadInput
from nf_edge.core.output_checks import FolderKind, check_replaceable, check_target, resolved
from nf_edge.core.staging import exchange, move_new, stage
from nf_edge.core.system_errors import explaining

# The name, size and modification time of every entry below a path; None if the path does not exist.
Contents = frozenset[tuple[str, int, int]] | None


@contextmanager
def staged_folder(
    target: Path, kind: FolderKind, *, overwrite: bool, sources: Iterable[Path] = ()
) -> Iterator[Path]:
    """A new folder that replaces `target` completely when the block succeeds.

    If `target` is a link, the folder it points to is replaced.  If the block deletes the new folder, `target`
    stays unchanged.

    Args:
        kind: the kind of folder, such as an artifact; a folder of another kind is never replaced.
        overwrite: whether an existing folder of this kind may be replaced.
        sources: files and folders that the job reads.  `target` is not replaced if it is or contains one of
            them.

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
        BadInput: `target` exists and may not be replaced, appeared or changed while the block ran, or cannot
            be written.
    """
    check_replaceable(target, overwrite=overwrite)
    with _staged(target) as new:
        yield new


@contextmanager
def created_folder(folder: Path) -> Iterator[None]:
    """Create a folder and its parents for the block; afterwards, remove the created folders that are empty.

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


def utf8_text(name: str | Path) -> str:
    """A path or a command-line argument as text; bytes that are not UTF-8 become U+FFFD."""
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
    """A temporary path; its content replaces `target` when the block succeeds.

    Raises:
        BadInput: `target` appeared or changed while the block ran.
    """
    with explaining(target):
        place = resolved(target)
        before = _contents(place)
        with created_folder(place.parent), stage(place) as new:
            yield new
            if os.path.lexists(new):
                _move_into_place(new, place, before, target)


def _move_into_place(new: Path, place: Path, before: Contents, target: Path) -> None:
    """Move `new` to `place`, and replace what is there.

    Args:
        place: `target` with all links followed.
        before: the content of `place` when the work started; None: there was nothing.
        target: the path for messages.

    Raises:
        BadInput: the content of `place` is no longer `before`.
    """
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
