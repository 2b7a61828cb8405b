"""The three standard streams, which may be closed, full, or of another encoding than UTF-8."""

import contextlib
import os
import sys


def open_streams() -> None:
    """Make them safe to write to.

    Where one is closed, the next file that is opened would take its place, and what a library prints would
    end up in it.  A character that an encoding does not have is written as its escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (stays open as long as the process)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_streams() -> None:
    """Write no more to those that fail: the interpreter would try again when it ends."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
