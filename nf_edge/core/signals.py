"""Handle signals that end this process: delete unfinished files and end child processes."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from nf_edge.core import processes


class Terminated(BaseException):
    """Raised when a signal ends this process.

    `except Exception` does not catch this class, as it does not catch KeyboardInterrupt.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        return exit_code_of(self.number)


def exit_code_of(number: int) -> int:
    """The exit code that a shell reports for a process that a signal ended."""
    return 128 + number


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise Terminated, and Ctrl-C raises KeyboardInterrupt.

    Signals that this process inherited as ignored, as under nohup, stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) in usual
    ]
    before = {number: signal.signal(number, _end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        processes.allow_starts()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    processes.end_all()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    # Ignore further signals, so that only SIGKILL can interrupt the cleanup.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)
