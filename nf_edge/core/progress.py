"""Progress of long jobs: a callback (step, done, total), so that jobs print nothing themselves."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """A progress callback that does nothing: the default of jobs."""


def prefixed(name: str, progress: Progress) -> Progress:
    """A callback that calls `progress` with `name` in front of every step."""

    def call(step: str, done: int, total: int) -> None:
        progress(f"{name}: {step}", done, total)

    return call
