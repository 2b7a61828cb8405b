"""Being asked to end: what was begun is cleared away, and the programs that were started end too."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from nf_edge.core import processes


class Terminated(BaseException):
    """A signal asked this process to end; like KeyboardInterrupt no `Exception`, so that nothing goes on."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number

    @property
    def exit_code(self) -> int:
        """What a shell gives for a process that the signal ended."""
        return 128 + self.number


@contextmanager
def ending_on_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise Terminated, and Ctrl-C as ever KeyboardInterrupt.

    What this process was started to ignore, as by nohup, it ignores.
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
        processes.allow()


def _end(number: int, frame: FrameType | None) -> NoReturn:
    processes.end_all()
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    # Nothing but a kill disturbs the clearing away.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    raise Terminated(number)
