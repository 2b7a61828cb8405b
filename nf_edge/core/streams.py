"""Handle standard streams that are closed, full, or not UTF-8."""

import contextlib
import os
import sys


def open_streams() -> None:
    """Make the standard streams safe to write to.

    If a stream is closed, the next opened file would take its number and receive the output of libraries.  So
    a closed stream is replaced by the null device.  A character that the encoding lacks is written as an
    escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: the number of the closed stream
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (stays open until the process ends)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def drop_streams() -> None:
    """Replace failing streams by the null device, because the interpreter writes to them again at exit."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        try:
            stream.flush()
        except (OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
