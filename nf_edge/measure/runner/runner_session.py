"""A runner process that runs requests until it is ended."""

import contextlib
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import PIPE
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from nf_edge.core import processes, strict_json
from nf_edge.measure.runner.process import Request, failure, overdue, request_lines
from nf_edge.measure.runner.result import Stage, logits_of, stage


class RunnerSession:
    """A model in a separate process; a context manager that ends the process.

    The process uses no CPU between requests, so that several sessions can run in interleaved rounds.

    Attributes:
        start: memory of the process before it reads the model.
        runtime: `executorch` or `onnxruntime`.
        version: version of the runtime.
        load_ms: milliseconds from `start` until the model is ready to run.
    """

    def __init__(self, command: Sequence[str], model: Path, timeout_s: float = 600.0) -> None:
        """Start the process, and wait until the model is loaded.

        Args:
            command: a runner command, without `--times`.
            model: the model file, for messages.
            timeout_s: timeout in seconds for loading and for each call.

        Raises:
            BadInput: the model cannot be loaded.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        self._model, self._timeout_s = model, timeout_s
        # stderr goes to a file, because a pipe that nobody reads would fill up and block the process.
        self._stderr = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (end closes it)
        try:
            self._process = processes.start(command, stdin=PIPE, stdout=PIPE, stderr=self._stderr)
        except BaseException:
            self._stderr.close()
            raise
        try:
            entries = self._read_until(lambda entry: entry.get("stage") == "method_loaded")
        except BaseException:
            self.end()
            raise
        self.start = stage(entries[0])
        self.runtime: str = entries[0]["runtime"]
        self.version: str = entries[0]["version"]
        self.load_ms: float = sum(entry["elapsed_ms"] for entry in entries[1:])

    def finish(self) -> Stage:
        """Let the process exit after its requests; return its memory at the end, with the peak."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return stage(self._read_until(lambda entry: entry.get("stage") == "finished")[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _run(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Run requests in order; return the runner's output line for each request, parsed from JSON.

        Raises:
            ValueError: there are no requests.
            BadInput: the model rejects a request.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        if not requests:
            raise ValueError("no requests")
        self._write(request_lines(requests))
        entries: list[dict[str, Any]] = []

        def last(entry: dict[str, Any]) -> bool:
            if "run_ms" in entry:
                entries.append(entry)
            return len(entries) == len(requests)

        self._read_until(last)
        return entries

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the process has ended; reading reports the reason
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _read_until(self, last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Read the runner's output lines up to and including the first one for which `last` is true."""
        assert self._process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            processes.kill(self._process)

        timer = threading.Timer(self._timeout_s, stop)
        timer.daemon = True
        timer.start()
        try:
            entries = []
            for line in self._process.stdout:
                entries.append(strict_json.loads(line))
                if last(entries[-1]):
                    return entries
        finally:
            timer.cancel()
        if late.is_set():
            raise overdue(self._model, self._timeout_s)
        returncode = self._process.wait()
        self._stderr.seek(0)
        raise failure(self._model, returncode, self._stderr.read())

    def end(self) -> None:
        """End the process by a signal, even while it runs a request."""
        processes.end(self._process)
        self._stderr.close()


class TimedSession(RunnerSession):
    """A runner process that returns the time of each request instead of its logits."""

    def __init__(self, command: Sequence[str], model: Path, timeout_s: float = 600.0) -> None:
        super().__init__([*command, "--times"], model, timeout_s)

    def times(self, requests: Sequence[Request]) -> list[float]:
        """Run requests in order; return the milliseconds of each.

        Raises:
            ValueError: there are no requests.
            BadInput: the model rejects a request.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        return [entry["run_ms"] for entry in self._run(requests)]


class LogitsSession(RunnerSession):
    """A runner process that returns the logits of each request."""

    def logits(self, request: Request) -> npt.NDArray[np.float32]:
        """Run one request; return its float32 logits in the shape of the model's output.

        Raises:
            BadInput: the model rejects the request.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        (entry,) = self._run([request])
        return logits_of(entry)
