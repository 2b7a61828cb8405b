"""Writing so that an interruption leaves what was there before."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nf_edge.errors import BadInput


@contextmanager
def staged_folder(target: Path, *, overwrite: bool, marker: str) -> Iterator[Path]:
    """A new folder beside `target` that takes its place, whole for whole, when the block ends well.

    Args:
        overwrite: whether an existing folder may be replaced; only one that has a `marker` file is.
        marker: name of the file by which a folder of this kind is recognised.

    Raises:
        BadInput: `target` exists and may not be replaced.
    """
    check_target(target, overwrite=overwrite, marker=marker)
    target.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
    try:
        stage.chmod(0o777 & ~_umask())
        yield stage
        if target.exists():
            old = stage.with_name(stage.name.removesuffix(".partial") + ".old")
            target.rename(old)
            try:
                stage.rename(target)
            except BaseException:
                old.rename(target)
                raise
            shutil.rmtree(old)
        else:
            stage.rename(target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def check_target(target: Path, *, overwrite: bool, marker: str) -> None:
    """Refuse a target that `staged_folder` would refuse: before the work, not after it."""
    if not target.exists():
        return
    if not (target / marker).is_file():
        raise BadInput(f"exists and is not ours (it has no {marker})", where=target, fix="name another place")
    if not overwrite:
        raise BadInput("exists", where=target, fix="give --overwrite to replace it, or name another place")


def write_text(path: Path, text: str) -> None:
    """Write a text file beside its place and move it there when whole."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there when whole."""
    handle, partial = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
