"""Hide the messages of libraries from the user, but not their errors."""

import contextlib
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from typing import IO, Any, TextIO


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence Python warnings and log lines below ERROR in the block."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Hold back everything written to stderr, also by C++ code; print it if the block fails."""
    with tempfile.TemporaryFile() as log:
        try:
            with _redirected(2, sys.stderr, log):
                yield
        except BaseException:
            sys.stderr.write(_text(log))
            raise


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop everything written to stdout, which is only for results.

    C++ code writes to file descriptor 1.  Python writes to `sys.stdout`, which may be another file.  Both are
    redirected.
    """
    with (
        open(os.devnull, "w") as dropped,
        _redirected(1, sys.stdout, dropped),
        contextlib.redirect_stdout(dropped),
    ):
        yield


@contextlib.contextmanager
def dropped_stderr() -> Iterator[None]:
    """Drop everything that C++ code writes to stderr; for libraries whose exceptions contain the same
    text.
    """
    with open(os.devnull, "w") as dropped, _redirected(2, sys.stderr, dropped):
        yield


class Captured:
    """The text written by a block; complete when the block has ended."""

    text = ""


@contextlib.contextmanager
def captured_stderr() -> Iterator[Captured]:
    """Capture everything written to stderr, also by C++ code, whether or not the block fails."""
    captured = Captured()
    with tempfile.TemporaryFile() as log:
        try:
            with _redirected(2, sys.stderr, log):
                yield captured
        finally:
            captured.text = _text(log)


@contextlib.contextmanager
def _redirected(number: int, stream: TextIO, target: IO[Any]) -> Iterator[None]:
    """Redirect a file descriptor to another file; `stream` writes to the descriptor and is flushed first."""
    stream.flush()
    saved = os.dup(number)
    os.dup2(target.fileno(), number)
    try:
        yield
    finally:
        stream.flush()
        os.dup2(saved, number)
        os.close(saved)


def _text(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")
