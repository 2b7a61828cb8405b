"""A runner that stays, and is asked again and again."""

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


class StayingProcess:
    """A model in a process of its own; a context manager, which ends the process.

    Several of them can be asked turn about: each waits for its next request without taking the CPU.

    Attributes:
        start: what the process held before it touched the model.
        runtime, version: of the process, `executorch` or `onnxruntime`.
        load_ms: from there until the model was ready to run.
    """

    def __init__(self, command: Sequence[str], model: Path, timeout_s: float = 600.0) -> None:
        """Starts it, and waits until the model is loaded.

        Args:
            command: a runner's.
            model: named in messages.
            timeout_s: that loading and each call may take, in seconds.

        Raises:
            BadInput: the model cannot be loaded.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        self._model, self._timeout_s = model, timeout_s
        # Not a pipe, which nobody would empty.
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
        """Ends the process; what it held then, and at most."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return stage(self._read_until(lambda entry: entry.get("stage") == "finished")[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def _answers(self, requests: Sequence[Request]) -> list[dict[str, Any]]:
        """Runs requests one after another, as `run` describes them: the runner's line of each.

        Raises:
            ValueError: there are none.
            BadInput: the model does not take one of them.
            CannotRun: the runner crashed, ran out of memory or took too long.
        """
        if not requests:
            raise ValueError("no requests")
        self._write(request_lines(requests))
        found: list[dict[str, Any]] = []

        def last(entry: dict[str, Any]) -> bool:
            if "run_ms" in entry:
                found.append(entry)
            return len(found) == len(requests)

        self._read_until(last)
        return found

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is no more: reading finds out why
            self._process.stdin.write(text)
            self._process.stdin.flush()

    def _read_until(self, last: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """The lines up to the one for which `last` is true."""
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
        """Ends the process, whatever it does."""
        processes.end(self._process)
        self._stderr.close()


class TimedProcess(StayingProcess):
    """One that answers with how long it took; `command` comes without `--times`."""

    def __init__(self, command: Sequence[str], model: Path, timeout_s: float = 600.0) -> None:
        super().__init__([*command, "--times"], model, timeout_s)

    def times(self, requests: Sequence[Request]) -> list[float]:
        """Milliseconds of each request.

        Raises what `_answers` does.
        """
        return [entry["run_ms"] for entry in self._answers(requests)]


class AskedProcess(StayingProcess):
    """One that answers with logits."""

    def logits(self, request: Request) -> npt.NDArray[np.float32]:
        """In the model's own shape.

        Raises what `_answers` does.
        """
        (entry,) = self._answers([request])
        return logits_of(entry)
