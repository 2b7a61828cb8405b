"""The files of an artifact folder: the export lists their hashes, and `load_artifact` verifies them.

File names cannot point outside the folder, and links are not followed.  So the loaded file is always the
verified one.
"""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from nf_edge.artifact.manifest import ArtifactFile
from nf_edge.core.errors import EXPORT_AGAIN, BadInput
from nf_edge.core.schemas import MANIFEST, MOST_MANIFEST_BYTES

SIGNATURE = "model.sig"
# The manifest contains the list, and the signature signs the manifest.  So neither is in the list.
NOT_LISTED = {MANIFEST, SIGNATURE}
# Files of version control, downloads and file managers.  No runtime reads them.
STRAYS = {
    ".DS_Store",
    ".cache",
    "Thumbs.db",
    "desktop.ini",
    ".git",
    ".gitattributes",
    ".gitignore",
    "README.md",
    "LICENSE",
}
UNLISTED = "is not listed in the manifest"


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file for reading.

    Raises:
        BadInput: the path is missing, is a link, a folder or a pipe, or cannot be read.
    """
    try:
        # Without O_NONBLOCK, opening a pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadInput(_why_not(path, error), where=path, fix=EXPORT_AGAIN) from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise BadInput("is not a regular file", where=path, fix=EXPORT_AGAIN)
    with os.fdopen(handle, "rb") as file:
        yield file


def _why_not(path: Path, error: OSError) -> str:
    if path.is_symlink():
        return "is a link, but an artifact must contain the file itself"
    if isinstance(error, FileNotFoundError):
        return "is missing"
    return f"cannot be read ({error.strerror})"


def read_manifest_bytes(folder: Path) -> bytes:
    """The bytes of the manifest.  Raises BadInput if they cannot be read."""
    with opened(folder / MANIFEST) as file:
        content = file.read(MOST_MANIFEST_BYTES + 1)
    if len(content) > MOST_MANIFEST_BYTES:
        raise BadInput(
            f"is damaged (it has more than {MOST_MANIFEST_BYTES:,} bytes)",
            where=folder / MANIFEST,
            fix=EXPORT_AGAIN,
        )
    return content


def listed(folder: Path) -> tuple[ArtifactFile, ...]:
    """The manifest's entries for all files of a folder, sorted by name.

    Raises:
        BadInput: the folder contains something other than regular files.
    """
    return tuple(described(path) for path in sorted(folder.iterdir()) if path.name not in NOT_LISTED)


def described(path: Path) -> ArtifactFile:
    """The manifest's entry for a file.  Raises BadInput if the path is not a regular file."""
    with opened(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return ArtifactFile(name=path.name, bytes=file.tell(), sha256=digest)


def verify(folder: Path, files: Sequence[ArtifactFile], *, complete: bool) -> tuple[str, ...]:
    """Verify the files of a folder against a list of their sizes and hashes.

    Args:
        complete: whether every file of the folder must be in the list, except files in `STRAYS` such as
            `.DS_Store`.

    Returns:
        Notes about files in `STRAYS`, which nf-edge ignores.

    Raises:
        BadInput: files are missing, differ from the list, or are not in a complete list; the message names
            all of them.
    """
    problems = [(file.name, problem) for file in files if (problem := _problem(folder / file.name, file))]
    strays: list[str] = []
    if complete:
        known = {*NOT_LISTED, *(file.name for file in files)}
        others = sorted(name for name in os.listdir(folder) if name not in known)
        strays = [name for name in others if name in STRAYS]
        unlisted = [name if name.isprintable() else ascii(name) for name in others if name not in STRAYS]
        problems += [(name, UNLISTED) for name in unlisted]
    if len(problems) == 1:
        name, problem = problems[0]
        fix = "move it out of the artifact's folder" if problem == UNLISTED else EXPORT_AGAIN
        raise BadInput(problem, where=folder / name, fix=fix)
    if problems:
        raise BadInput.listing(
            (f"{name} {problem}" for name, problem in problems), where=folder, fix=EXPORT_AGAIN
        )
    return (f"nf-edge ignores {', '.join(strays)}: not part of the artifact",) if strays else ()


def _problem(path: Path, file: ArtifactFile) -> str:
    """How a file differs from its entry in the list, in words; "" if it does not."""
    try:
        with opened(path) as content:
            # The size is compared first, because hashing a large file takes long.
            size = os.fstat(content.fileno()).st_size
            if size != file.bytes:
                return f"is not the file that was exported (it has {size:,} bytes, not {file.bytes:,})"
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except BadInput as error:
        return error.what
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest != file.sha256:
        return "is not the file that was exported (its SHA-256 differs)"
    return ""
