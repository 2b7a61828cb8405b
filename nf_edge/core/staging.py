"""Work folders: outputs are built there, and then moved to their final path.

If a process is killed, the old output stays unchanged.  A process locks its work folder, and later runs
delete the work folders of dead processes.  The kernel releases the lock when the process ends, even in
another container.  A process number would be unsafe, because a new process can get the same number.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nf_edge.core.errors import MissingTool
from nf_edge.core.system_errors import SET_TMPDIR, no_temporary_folder

# The end of a work folder's name; and names in it: the lock, the new output, and the replaced output.
NAME = re.compile(r"nf-edge-[a-z0-9_]{8}\.partial$")
LOCK, NEW, OLD = "lock", "new", "old"
# Characters of the target's name in the work folder's name.  At four bytes each, the name stays below 255
# bytes.
NAME_LENGTH = 40
# Flags of renameat2(2).
NO_REPLACE, EXCHANGE = 1, 2
# Error codes if the system or the file system does not support the flags.
UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


@contextlib.contextmanager
def stage(target: Path) -> Iterator[Path]:
    """An unused path on the file system of `target`, where the block builds the new content of `target`.

    Content that the block does not move away is removed when the block ends.  The last part of the path is
    always the same, so that the content cannot depend on the target's name.
    """
    with _work_folder(target.parent, f".{target.name[:NAME_LENGTH]}.", target.name) as folder:
        yield folder / NEW


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for temporary files; removed when the block ends.

    Raises:
        MissingTool: there is no folder for temporary files.
    """
    with _work_folder(temporary_folder(), "", "") as folder:
        (folder / NEW).mkdir()
        yield folder / NEW


@contextlib.contextmanager
def temporary_files_removed() -> Iterator[None]:
    """After the block, remove the temporary files that libraries created in it."""
    with scratch_folder() as folder:
        before = tempfile.tempdir
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def temporary_folder() -> Path:
    """The system's folder for temporary files.

    Raises:
        MissingTool: there is none, or its path is not UTF-8, which runtimes need.
    """
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        raise no_temporary_folder() from None
    if not is_utf8(place):
        problem = "the path of the folder for temporary files is not valid UTF-8"
        raise MissingTool(problem, where=place, fix=SET_TMPDIR)
    return Path(place)


def is_utf8(path: str | Path) -> bool:
    """Whether a path is valid UTF-8; runtimes cannot open other paths."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def move_new(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which must not exist.

    Raises:
        FileExistsError: `target` exists.
    """
    try:
        _rename(source, target, NO_REPLACE)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None
        source.rename(target)


def exchange(new: Path, target: Path) -> Path:
    """Replace `target` by `new`; returns the path to which the old content was moved.

    The exchange is atomic if the system supports that.  Otherwise `target` is missing for a moment.  If the
    process is killed in that moment, the next `sweep` restores `target`.
    """
    try:
        _rename(new, target, EXCHANGE)
        return new
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    # Use the free name: `new` may be the old content of an earlier exchange.
    old = new.with_name(NEW if new.name == OLD else OLD)
    target.rename(old)
    try:
        move_new(new, target)
    except BaseException:
        move_new(old, target)
        raise
    return old


def sweep(parent: Path) -> None:
    """Delete this user's work folders in `parent` that no process has locked: their processes are dead.

    If a process died during `exchange`, first restore the old output.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(parent):
            if NAME.search(name):
                with contextlib.suppress(OSError):
                    _sweep(parent / name)


def _sweep(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return
    try:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # still empty: its process died or is creating another folder
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.lexists(folder / OLD):
            with contextlib.suppress(FileExistsError):
                move_new(folder / OLD, folder.with_name(os.fsdecode(os.read(lock, 4096))))
        _remove(folder)
    finally:
        os.close(lock)


@contextlib.contextmanager
def _work_folder(parent: Path, prefix: str, makes: str) -> Iterator[Path]:
    """A locked folder that only the current user may read; it is deleted when the block ends.

    Args:
        parent: the folder to create it in; the work folders of dead processes there are deleted first.
        prefix: the start of the folder's name.
        makes: the final name of the output that is built in the folder.
    """
    sweep(parent)
    folder, lock = _locked_folder(parent, prefix)
    try:
        os.write(lock, os.fsencode(makes))
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Delete a work folder, its lock file last.  Another process can finish an interrupted deletion."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name != LOCK:
                os.unlink(entry.path)
        os.unlink(folder / LOCK)
        os.rmdir(folder)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}nf-edge-", suffix=".partial", dir=parent))
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except FileNotFoundError:
            continue  # another process deleted the folder before it was locked
        except BaseException:
            folder.rmdir()
            raise
        if _try_lock(lock) and (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def _try_lock(lock: int) -> bool:
    """Lock the open lock file of a work folder; False if another process locked it first to delete it."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # the file system has no locks, so work folders are never deleted
    return True


def _rename(source: Path, target: Path, flags: int) -> None:
    """Rename `source` to `target` as the `flags` of renameat2(2) say.  Python has no such function.

    Raises:
        OSError: the rename failed, or the system has no renameat2.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    current_folder = -100  # AT_FDCWD
    if call(current_folder, os.fsencode(source), current_folder, os.fsencode(target), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))
