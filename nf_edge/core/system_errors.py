"""Errors of the system (a full disk, no memory, no permission) as messages for the user, whatever class a
library raises them in."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nf_edge.core.errors import BadInput, CannotRun, MissingTool, NfEdgeError

# What is wrong with a disk, whatever is written to it.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
# What is wrong with a path that has a name, and is the user's to mend.
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
# Of this process, not of a path.
LIMITS = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN}
# How Rust's libraries end the text of what the system said.
OF_RUST = re.compile(r"\(os error (\d+)\)")
# How C++ libraries say that memory has run out.
NO_MEMORY = re.compile(
    r"can't allocate memory|bad_alloc|[Ff]ailed to allocate memory|Cannot allocate memory|MemoryError"
)
ADD_MEMORY = "free some memory, or work on a machine that has more"
SET_TMPDIR = "set the environment variable TMPDIR to a folder that you can write to"


def no_temporary_folder() -> MissingTool:
    return MissingTool("there is no folder for temporary files", fix=SET_TMPDIR)


def explained(error: BaseException, where: str | Path | None = None) -> NfEdgeError | None:
    """The message for the user of an error of the system; None where it is none, and so a bug.

    Args:
        where: what was written, for errors that do not name a file.
    """
    link: BaseException | None = error
    while link is not None:
        if found := _explained(link, where):
            return found
        link = link.__cause__
    return None


@contextmanager
def explaining(where: Path) -> Iterator[None]:
    """Raise errors of the system, in any library's class, as an NfEdgeError while `where` is written."""
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
    code, name = _code(error)
    if isinstance(error, MemoryError) or code == errno.ENOMEM:
        return CannotRun("memory ran out", fix=ADD_MEMORY)
    if isinstance(error, RuntimeError) and NO_MEMORY.search(str(error)):
        return CannotRun(f"memory ran out: {str(error).strip().splitlines()[0]}", fix=ADD_MEMORY)
    if isinstance(error, RuntimeError) and "home directory" in str(error):
        return MissingTool("your home folder cannot be determined", fix="set the environment variable HOME")
    if code is None:
        return None
    if isinstance(error, FileNotFoundError) and "temporary directory" in str(error):
        return no_temporary_folder()
    if code in LIMITS:
        return CannotRun(
            f"the system allows no more: {os.strerror(code)}", fix="raise its limits (ulimit -a)"
        )
    if code in DISK:
        fix = "free some space there, and where temporary files are (TMPDIR)" if code != errno.EROFS else None
        return BadInput(os.strerror(code), where=where or name or "the output or a temporary file", fix=fix)
    if code in PATH and (name is not None or where is not None):
        return BadInput(os.strerror(code), where=name or where)
    if code == errno.ENOENT and not _here():
        return BadInput("the folder that you are in is gone", fix="change to one that exists")
    return None


def _code(error: BaseException) -> tuple[int | None, str | None]:
    """The system's number of an error, and the file that it names."""
    if isinstance(error, OSError):
        name = error.filename
        return error.errno, os.fsdecode(name) if isinstance(name, str | bytes) else None
    if isinstance(error, NfEdgeError):
        return None, None
    found = OF_RUST.search(str(error))
    if found:
        return int(found[1]), None
    said = str(error)
    return next((code for code in DISK - {errno.EIO} if os.strerror(code) in said), None), None


def _here() -> bool:
    """Whether the current folder exists."""
    try:
        os.getcwd()
    except OSError:
        return False
    return True
