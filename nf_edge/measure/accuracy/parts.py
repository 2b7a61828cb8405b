"""Predict rows in parts: workers take the parts in turn, and a journal saves finished parts."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import replace

from nf_edge.core import processes
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.progress import Progress
from nf_edge.measure.accuracy.journal import Arrays, Journal
from nf_edge.measure.accuracy.predictions import PairedPredictions


class Total:
    """A progress bar that counts the finished rows of several parts that run at the same time."""

    def __init__(self, progress: Progress, step: str, total: int) -> None:
        """Start the bar.

        Args:
            step: the text of the bar.
            total: number of rows of all parts.
        """
        self._progress, self._step, self._total = progress, step, total
        self._done, self._lock = 0, threading.Lock()

    def of_a_part(self) -> Progress:
        """A new progress callback for one part; its calls advance the common bar."""
        before = 0

        def call(step: str, done: int, total: int) -> None:
            nonlocal before
            with self._lock:
                self._done += done - before
                before = done
                self._progress(self._step, self._done, self._total)

        return call


class Parts:
    """Rows split into parts, and the predictions of one model file for the finished parts.

    Several threads may predict parts at the same time.
    """

    def __init__(self, rows: int, size: int, name: str, journal: Journal | None, total: Total) -> None:
        """Split the rows.

        Args:
            rows: number of rows.
            size: number of rows in a part; the last part may have fewer.
            name: the name of the model file's run in the journal.
            journal: the parts that an interrupted check finished; None: nothing is read or saved.
            total: the progress bar of all parts.
        """
        self._slices = [slice(start, min(start + size, rows)) for start in range(0, rows, size)]
        self._waiting, self._lock = iter(self._slices), threading.Lock()
        self._name, self._journal, self._total = name, journal, total
        self._finished: dict[int, Arrays] = {}

    def __len__(self) -> int:
        """The number of parts: more workers have nothing to do."""
        return len(self._slices)

    def work(self, predict: Callable[[slice, Progress], Arrays]) -> None:
        """Predict one part after the other until none is left.

        Args:
            predict: computes the arrays of a part (`PairedPredictions.to_arrays`, and any others).
        """
        while (part := self._next()) is not None:
            name, progress = f"{self._name}-{part.start}-{part.stop}", self._total.of_a_part()
            arrays = self._journal.read(name) if self._journal else None
            if arrays is None:
                arrays = predict(part, progress)
                if self._journal is not None:
                    self._journal.add(name, arrays)
            count = part.stop - part.start
            progress("", count, count)
            self._finished[part.start] = arrays

    def _next(self) -> slice | None:
        with self._lock:
            return next(self._waiting, None)

    @property
    def finished(self) -> list[Arrays]:
        """The arrays of predictions of each part, in the order of the rows; all parts must be finished."""
        return [self._finished[part.start] for part in self._slices]

    @property
    def predictions(self) -> PairedPredictions:
        """The predictions of all parts; indices of rows count from the first row of the first part."""
        parts = zip(map(PairedPredictions.from_arrays, self.finished), self._slices, strict=True)
        return PairedPredictions.joined([replace(each, row=each.row + part.start) for each, part in parts])


def side_by_side(jobs: Sequence[Callable[[], None]]) -> None:
    """Run jobs in threads, as many at a time as this machine has CPUs.

    The first error ends the child processes of all jobs, and is raised.
    """
    with processes.pool(allowed_cpus()) as pool:
        done, _ = wait([pool.submit(job) for job in jobs], return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
