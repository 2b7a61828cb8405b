"""Turn operating system errors (full disk, no memory, no permission) into messages for the user.

Libraries raise these errors in many classes.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nf_edge.core.errors import BadInput, CannotRun, MissingTool, NfEdgeError

# Errors of the disk, whatever file is written.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
# Errors of a named path, which the user can fix.
PATH = DISK | {
    errno.EACCES,
    errno.EBUSY,
    errno.EEXIST,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENOTEMPTY,
    errno.ENXIO,
    errno.EPERM,
    errno.ESTALE,
    errno.ETXTBSY,
    errno.EXDEV,
}
# Errors from limits of this process, not from a path.
LIMITS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
# How Rust libraries end the text of a system error.
RUST_ERROR = re.compile(r"\(os error (\d+)\)")
# Messages of C++ libraries if memory runs out.
NO_MEMORY = re.compile(
    r"can't allocate memory|bad_alloc|[Ff]ailed to allocate memory|Cannot allocate memory|MemoryError"
)
ADD_MEMORY = "free some memory, or use a machine that has more"
SET_TMPDIR = "set the environment variable TMPDIR to a folder that you can write to"


def no_temporary_folder() -> MissingTool:
    return MissingTool("there is no folder for temporary files that you can write to", fix=SET_TMPDIR)


def explained(error: BaseException, where: str | Path | None = None) -> NfEdgeError | None:
    """A message for the user, if the error or one of its causes is a known system error; None otherwise.

    Args:
        where: the path that was being written, for errors that name no file.
    """
    link: BaseException | None = error
    while link is not None:
        if message := _explained(link, where):
            return message
        link = link.__cause__
    return None


@contextmanager
def explaining(where: Path) -> Iterator[None]:
    """While `where` is written, turn system errors of any class into an NfEdgeError."""
    try:
        yield
    except NfEdgeError:
        raise
    except Exception as error:
        known = explained(error, where)
        if known is None:
            raise
        raise known from error


def _explained(error: BaseException, where: str | Path | None) -> NfEdgeError | None:
    code, name = _error_number(error)
    if isinstance(error, MemoryError) or code == errno.ENOMEM:
        return CannotRun("memory ran out", fix=ADD_MEMORY)
    if isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)):
        return CannotRun(f"memory ran out ({str(error).strip().splitlines()[0]})", fix=ADD_MEMORY)
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return MissingTool("your home folder cannot be determined", fix="set the environment variable HOME")
    if code is None:
        return None
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return no_temporary_folder()
    if code in LIMITS:
        return CannotRun(
            f"a limit of the operating system is reached ({os.strerror(code)})",
            fix="raise this limit (`ulimit -a` lists all limits)",
        )
    if code in DISK:
        fix = "free disk space there and in the temporary folder (TMPDIR)"
        if code == errno.EROFS:
            fix = "choose another path"
        return BadInput(os.strerror(code), where=where or name or "the output or a temporary file", fix=fix)
    if code in PATH and (name is not None or where is not None):
        return BadInput(os.strerror(code), where=name or where, fix="check this path and its permissions")
    if code == errno.ENOENT and not _current_folder_exists():
        return BadInput("the current folder no longer exists", fix="change to an existing folder (cd)")
    return None


def _error_number(error: BaseException) -> tuple[int | None, str | None]:
    """The errno of an error and the file that the error names; each is None if unknown."""
    if isinstance(error, OSError):
        name = error.filename
        return error.errno, os.fsdecode(name) if isinstance(name, str | bytes) else None
    if isinstance(error, NfEdgeError):
        return None, None
    text = str(error)
    if match := RUST_ERROR.search(text):
        return int(match[1]), None
    return next((code for code in DISK - {errno.EIO} if os.strerror(code) in text), None), None


def _current_folder_exists() -> bool:
    """Whether the current folder still exists; another program may have deleted it."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True
