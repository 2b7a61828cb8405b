"""How the API tells of progress without printing: a callback (step, done, total)."""

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def named(name: str, progress: Progress) -> Progress:
    """Tells of what a step is, where there are several of a kind."""

    def call(step: str, done: int, total: int) -> None:
        progress(f"{name}: {step}", done, total)

    return call
