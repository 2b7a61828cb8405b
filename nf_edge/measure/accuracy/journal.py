"""The finished parts of a long check, saved in the user's cache so that an interrupted check can continue."""

import contextlib
import hashlib
import io
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from nf_edge.core import strict_json
from nf_edge.core.errors import BadInput, MissingTool
from nf_edge.core.files import write_bytes
from nf_edge.core.signals import Terminated
from nf_edge.core.user_cache import user_cache

# Seconds between saves.  A check that ends before the first save writes nothing.
SAVE_EVERY_S = 10.0
# Seconds until a later check deletes the parts of a check that nobody resumed: 7 days.
KEPT_S = 7 * 24 * 3600.0
DIGEST_BYTES = 32

# A finished part as arrays, by name.
Arrays = Mapping[str, np.ndarray]


class Journal:
    """The finished parts of one check; a context manager that encloses the check.

    If the block succeeds, the saved parts are deleted.  If it is interrupted, they are kept, and `notify` is
    called with the way to resume.  Several threads may use one journal.
    """

    def __init__(
        self, facts: Callable[[], Mapping[str, Any]], notify: Callable[[str], None], *, resume: bool = False
    ) -> None:
        """Open the journal of a check.

        Args:
            facts: returns everything that the predictions depend on, as JSON values.  It is called at the
                first save or at a resumption, because hashing many rows takes time.
            notify: called with remarks for the user.
            resume: use the parts that an interrupted check with the same facts saved.

        Raises:
            BadInput: `resume` is set, but no interrupted check with these facts was saved.
        """
        self._facts, self._notify = facts, notify
        self._unsaved: dict[str, bytes] = {}
        self._saved_at, self._lock = time.monotonic(), threading.Lock()
        self._resumed = self._has_parts = resume
        self._can_save = True
        if resume and not (self._folder.is_dir() and any(self._folder.iterdir())):
            raise BadInput(
                "there is no interrupted check of these files, rows and options to resume",
                where=self._folder.parent,
                fix="remove --resume; a check saves its progress every 10 seconds",
            )

    def read(self, name: str) -> Arrays | None:
        """The arrays of the part `name` that an interrupted check saved.

        None if this check is new, the part was not finished, or its file is damaged.
        """
        if not self._resumed:
            return None
        try:
            content = (self._folder / name).read_bytes()
        except OSError:
            return None
        digest, arrays = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if self._digest(name, arrays) != digest:
            return None
        with np.load(io.BytesIO(arrays), allow_pickle=False) as file:
            return dict(file)

    def add(self, name: str, arrays: Arrays) -> None:
        """Add the arrays of the finished part `name`.

        All new parts are saved to files if the last save was at least `SAVE_EVERY_S` seconds ago.
        """
        if not self._can_save:
            return
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
        with self._lock:
            self._unsaved[name] = content
            if time.monotonic() - self._saved_at >= SAVE_EVERY_S:
                self._save()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._has_parts:
            return
        if error is None:
            _delete(self._folder)
        elif isinstance(error, KeyboardInterrupt | Terminated):
            with self._lock:
                self._save()
            if self._can_save:
                self._notify("to continue this check, run the same command with --resume")

    @cached_property
    def _folder(self) -> Path:
        """The folder of this check's parts.

        Raises:
            MissingTool: the user's cache folder is unknown.
        """
        facts = strict_json.dumps(self._facts(), indent=None)
        return user_cache() / "checks" / hashlib.sha256(facts.encode()).hexdigest()

    def _digest(self, name: str, arrays: bytes) -> bytes:
        """SHA-256 of a part, its name and the facts: a part of another check or other rows does not match."""
        return hashlib.sha256(f"{self._folder.name}/{name}\n".encode() + arrays).digest()

    def _save(self) -> None:
        """Save the new parts.  If they cannot be saved, notify the user once; the check itself goes on."""
        if not self._can_save:
            return
        try:
            if not self._has_parts:
                _delete(self._folder, *_old(self._folder.parent))
            self._has_parts = True
            for name, content in self._unsaved.items():
                write_bytes(self._folder / name, self._digest(name, content) + content)
        except (BadInput, MissingTool) as error:
            self._can_save = False
            self._notify(f"the check goes on, but cannot be resumed if it is interrupted: {error}")
        self._unsaved.clear()
        self._saved_at = time.monotonic()


def _delete(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _old(checks: Path) -> list[Path]:
    """The folders of interrupted checks in `checks` that are older than 7 days."""
    with contextlib.suppress(OSError):
        return [folder for folder in checks.iterdir() if time.time() - folder.stat().st_mtime > KEPT_S]
    return []
