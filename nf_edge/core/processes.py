"""Programs that this one runs.

Each is in a process group of its own, so that those that it starts end with it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nf_edge.core.errors import CannotRun, NfEdgeError
from nf_edge.core.system_errors import ADD_MEMORY

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

# Seconds that a program is given to end those that it put into groups of their own, as Ninja does.
GRACE_S = 2.0

_running: set[subprocess.Popen[str]] = set()
_ending = False


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    """Start a program; `options` are those of Popen.  What it prints need not be UTF-8."""
    if _ending:
        raise NfEdgeError("is not started: this process is ending", where=command[0])
    process = subprocess.Popen(command, text=True, errors="replace", process_group=0, **options)
    _running.add(process)
    return process


def run(
    command: Sequence[str],
    *,
    input: str = "",
    timeout_s: float | None = None,
    output: Any = subprocess.PIPE,
    environment: Mapping[str, str] | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end; with whatever ends this call it ends too, and so does all that it started.

    Args:
        output: where both of its streams go; by default they are returned.

    Raises:
        TimeoutExpired: it takes too long.
    """
    streams = {"stdin": subprocess.PIPE, "stdout": output, "stderr": output, "env": environment}
    process = start(command, **streams)
    try:
        out, err = process.communicate(input, timeout=timeout_s)
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)
    finally:
        end(process)


def ask(command: Sequence[str]) -> str:
    """What a program prints.

    Raises:
        CannotRun: it was killed, which is what the system does where memory runs out.
    """
    done = run(command)
    if done.returncode == -signal.SIGKILL:
        raise CannotRun("was killed; memory may have run out", where=command[0], fix=ADD_MEMORY)
    return done.stdout


def end(process: "subprocess.Popen[str]") -> None:
    """End a program, if it has not ended, and all that it started."""
    if process.poll() is None or process.returncode < 0:
        _tell(process, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and _tell(process, 0):
            process.poll()  # until it is taken note of, an ended process counts as one
            time.sleep(0.005)
        kill(process)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    _running.discard(process)


def end_all() -> None:
    """End all programs, and start no more."""
    global _ending
    _ending = True
    for process in list(_running):
        if process.returncode is None:
            _tell(process, signal.SIGTERM)


@contextlib.contextmanager
def pool(workers: int) -> "Iterator[ThreadPoolExecutor]":
    """Threads that wait for programs; if the block fails, those end, so that nothing is waited for."""
    from concurrent.futures import ThreadPoolExecutor  # not when every command starts

    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    except BaseException:
        end_all()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
        allow()


def allow() -> None:
    """Let programs be started again."""
    global _ending
    _ending = False


def kill(process: "subprocess.Popen[str]") -> None:
    """Tell it, and all that it started, to end at once."""
    _tell(process, signal.SIGKILL)


def _tell(process: "subprocess.Popen[str]", number: int) -> bool:
    """Send a signal to the group; whether there is one left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
