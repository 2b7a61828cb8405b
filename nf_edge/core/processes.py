"""Child processes.

Each child gets its own process group.  Ending the group also ends the processes that the child started.
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

# Seconds for a program to end its children in other process groups; Ninja creates such groups.
GRACE_S = 2.0

_running: set[subprocess.Popen[str]] = set()
_ending = False


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[str]":
    """Start a program.  Bytes of its output that are not UTF-8 are read as U+FFFD.

    Args:
        options: further arguments of Popen.

    Raises:
        NfEdgeError: `end_all` was called, so no program may start.
    """
    if _ending:
        raise NfEdgeError("was not started, because nf-edge is shutting down", where=command[0])
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
    """Run a program until it exits; if this call is interrupted, the program and its children end too.

    Args:
        input: the text for its stdin.
        timeout_s: seconds after which the program is ended; None: no limit.
        output: where stdout and stderr go, as for Popen; by default the result holds them.
        environment: all environment variables of the program; None: those of this process.

    Raises:
        TimeoutExpired: the program ran longer than `timeout_s`.
    """
    streams = {"stdin": subprocess.PIPE, "stdout": output, "stderr": output, "env": environment}
    process = start(command, **streams)
    try:
        out, err = process.communicate(input, timeout=timeout_s)
        return subprocess.CompletedProcess(list(command), process.returncode, out, err)
    finally:
        end(process)


def output_of(command: Sequence[str]) -> str:
    """The standard output of a program, whatever its exit code.

    Raises:
        CannotRun: the program was killed; systems do that when memory runs out.
    """
    done = run(command)
    if done.returncode == -signal.SIGKILL:
        raise CannotRun("was killed, probably because memory ran out", where=command[0], fix=ADD_MEMORY)
    return done.stdout


def end(process: "subprocess.Popen[str]") -> None:
    """End a program and all processes in its group: by SIGTERM, and after `GRACE_S` seconds by SIGKILL."""
    if process.poll() is None or process.returncode < 0:
        _signal(process, signal.SIGTERM)
        until = time.monotonic() + GRACE_S
        while time.monotonic() < until and _signal(process, 0):
            process.poll()  # collects an exited process; until then it still counts as a member of its group
            time.sleep(0.005)
        kill(process)
        process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    _running.discard(process)


def end_all() -> None:
    """Send SIGTERM to all programs that `start` started; it then refuses new ones until `allow_starts`."""
    global _ending
    _ending = True
    for process in list(_running):
        if process.returncode is None:
            _signal(process, signal.SIGTERM)


@contextlib.contextmanager
def pool(workers: int) -> "Iterator[ThreadPoolExecutor]":
    """A pool of `workers` threads, each of which may run programs.

    If the block fails, the programs are ended, so that no thread keeps waiting.
    """
    from concurrent.futures import ThreadPoolExecutor  # imported here to keep startup fast

    threads = ThreadPoolExecutor(workers)
    try:
        yield threads
    except BaseException:
        end_all()
        raise
    finally:
        threads.shutdown(cancel_futures=True)
        allow_starts()


def allow_starts() -> None:
    """Allow programs to start again after `end_all`."""
    global _ending
    _ending = False


def kill(process: "subprocess.Popen[str]") -> None:
    """Send SIGKILL to a program and all processes in its group, without waiting for their end."""
    _signal(process, signal.SIGKILL)


def _signal(process: "subprocess.Popen[str]", number: int) -> bool:
    """Send a signal to a program's process group; False if the group no longer exists."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
