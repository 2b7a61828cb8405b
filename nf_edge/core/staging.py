"""Folders of work in progress: locked by the process that fills them, and swept once it is dead.

Whatever takes the place of something is made in such a folder first and moved when whole, so that a process
that is killed leaves what was there before.  The lock is the kernel's: it ends with its process, in whatever
container that ran, and no other process is ever taken for it.
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

# What such a folder is named, and what is in it: its lock, what is new, and what was moved out of the way.
NAME = re.compile(r"nf-edge-[a-z0-9_]{8}\.partial$")
LOCK, NEW, OLD = "lock", "new", "old"
# Characters of a target's name that its work folder's has too: with four bytes each, it still fits into 255.
NAME_LENGTH = 40
# Flags of renameat2(2).
NO_REPLACE, EXCHANGE = 1, 2
# What it says where the system or the file system does not have it.
UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP}


@contextlib.contextmanager
def stage(target: Path) -> Iterator[Path]:
    """A path beside `target`, where nothing is yet, to make it at; gone when the block ends.

    Its name is the same whatever `target` is called, so that nothing in it depends on that.
    """
    with _work_folder(target.parent, f".{target.name[:NAME_LENGTH]}.", target.name) as folder:
        yield folder / NEW


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """An empty folder for temporary files; gone when the block ends.

    Raises:
        MissingTool: there is no place for one.
    """
    with _work_folder(temporary_place(), "", "") as folder:
        (folder / NEW).mkdir()
        yield folder / NEW


@contextlib.contextmanager
def libraries_swept() -> Iterator[None]:
    """What libraries leave among temporary files while the block runs is gone when it ends."""
    with scratch_folder() as folder:
        before = tempfile.tempdir
        tempfile.tempdir = str(folder)
        try:
            yield
        finally:
            tempfile.tempdir = before


def temporary_place() -> Path:
    """The folder for temporary files.

    Raises:
        MissingTool: there is none, or its path is not text, which runtimes cannot open.
    """
    try:
        place = tempfile.gettempdir()
    except FileNotFoundError:
        raise no_temporary_folder() from None
    if not is_text(place):
        problem = "the path of the folder for temporary files is not UTF-8"
        raise MissingTool(problem, where=place, fix=SET_TMPDIR)
    return Path(place)


def is_text(path: str | Path) -> bool:
    """Whether a path is UTF-8: the runtimes take no other."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def move_new(source: Path, target: Path) -> None:
    """Rename to a name that is not taken.

    Raises:
        FileExistsError: it is.
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
    """Put `new` where `target` is; returns where that is now.

    In one step where the system has that.  Elsewhere `target` is out of its place for a moment; should this
    process be killed then, `sweep` puts it back.
    """
    try:
        _rename(new, target, EXCHANGE)
        return new
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    # Which of the two names is free: `new` may be what an exchange before this one moved out of the way.
    old = new.with_name(NEW if new.name == OLD else OLD)
    target.rename(old)
    try:
        move_new(new, target)
    except BaseException:
        move_new(old, target)
        raise
    return old


def sweep(parent: Path) -> None:
    """Delete the work folders of dead processes; those of other users, and what is locked, stay."""
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
        folder.rmdir()  # empty: its process died, or makes another when it finds it gone
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
    """A folder that only its user may look into; `makes` is the name of what will be moved out of it."""
    sweep(parent)
    folder, lock = _locked_folder(parent, prefix)
    try:
        os.write(lock, os.fsencode(makes))
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Delete it, its lock last: whoever finds it half deleted can tell that it was."""
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
            continue  # swept before it had its lock
        except BaseException:
            folder.rmdir()
            raise
        if _is_locked(lock) and (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def _is_locked(lock: int) -> bool:
    """Lock it; False where who sweeps was faster."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks, where nothing can be swept
    return True


def _rename(source: Path, target: Path, flags: int) -> None:
    """renameat2(2), which Python does not have."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here = -100  # AT_FDCWD
    if call(here, os.fsencode(source), here, os.fsencode(target), flags):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))
