"""Read untrusted files safely: only regular files, and only up to a size limit."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput

KIB, MIB, GIB = 2**10, 2**20, 2**30
# A limit that no file exceeds.
LARGEST = 2**63
# A config.json has a few kilobytes, or megabytes with thousands of labels or added tokens.
MOST_JSON = 16 * MIB

# Names of file types in messages, except regular files.
KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def is_there(path: Path) -> bool:
    """Whether a path exists.  True even for a pipe or a broken link, which `open_regular` cannot open."""
    return os.path.lexists(path)


@contextmanager
def open_regular(path: Path, most: int) -> Iterator[BufferedReader]:
    """Open a regular file of at most `most` bytes for reading.

    Raises:
        BadInput: the file is missing, unreadable (also later in the block), too large, or not a regular file.
    """
    try:
        # Without O_NONBLOCK, opening a pipe without a writer blocks forever.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise BadInput("no such file", where=path) from error
    except (OSError, ValueError) as error:  # ValueError: the path has a NUL or an unpaired surrogate
        raise BadInput(f"cannot be read ({getattr(error, 'strerror', error)})", where=path) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            kind = KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
            raise BadInput(f"is {kind}, not a regular file", where=path)
        if status.st_size > most:
            raise _too_large(path, most)
        with os.fdopen(handle, "rb", closefd=False) as file:
            yield file
    except OSError as error:
        raise BadInput(f"cannot be read ({error.strerror})", where=path) from error
    finally:
        os.close(handle)


def read_bytes(path: Path, most: int) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        BadInput: the file is missing, unreadable, too large, or not a regular file.
    """
    with open_regular(path, most) as file:
        # Reading `most` bytes would allocate a buffer of that size.
        content = file.read(os.fstat(file.fileno()).st_size + 1)
        # Files in /proc report size 0, and some of them never end.
        while len(content) <= most and (more := file.read(MIB)):
            content += more
    if len(content) > most:
        raise _too_large(path, most)
    return content


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a regular file of any size.

    Raises:
        BadInput: the file is missing, unreadable, or not a regular file.
    """
    with open_regular(path, LARGEST) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path, most: int) -> str:
    """The text of a regular file of at most `most` bytes.

    Raises:
        BadInput: the file cannot be read (see `open_regular`), or is not UTF-8.
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start} is invalid)"
        raise BadInput(what, where=path, fix="save the file as UTF-8") from error


def read_json_object(path: Path, most: int = MOST_JSON) -> dict[str, Any]:
    """The object in a JSON file of at most `most` bytes.

    Raises:
        BadInput: the file cannot be read (see `read_text`), is not a JSON object, or has an unpaired
            surrogate, which UTF-8 cannot encode.
    """
    text = read_text(path, most)
    try:
        document = strict_json.loads(text)
        if "\\ud" in text.lower():
            strict_json.dumps(document, ascii_only=False).encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            "has an unpaired surrogate (a \\ud800 to \\udfff escape), which UTF-8 cannot encode",
            where=path,
            fix="remove or correct the escape",
        ) from error
    except ValueError as error:
        raise BadInput(f"is not valid JSON ({error})", where=path) from error
    if not isinstance(document, dict):
        raise BadInput("must be a JSON object", where=path)
    return document


def _too_large(path: Path, most: int) -> BadInput:
    unit, name = next(
        (size, name) for size, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")) if most >= size
    )
    return BadInput(f"is too large; a file of this kind may have at most {most // unit} {name}", where=path)
