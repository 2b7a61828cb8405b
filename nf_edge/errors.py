"""What can go wrong for a user, and the exit code that each kind has.

Anything that is not an `NfEdgeError` is a bug of ours (exit code 1).  Wrong usage of the
command line is click's own error (exit code 2).
"""

from collections.abc import Iterable
from pathlib import Path


class NfEdgeError(Exception):
    """A message for the user: what is wrong, where, and what to do about it."""

    exit_code = 1
    reported = False
    """Whether the command has printed its report, in which this stands too, before it raises it."""

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.fix = what, where, fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  {self.fix}" if self.fix else text


class BadInput(NfEdgeError):
    """A recipe, device, checkpoint, artifact or data file that cannot be used."""

    exit_code = 3

    @classmethod
    def listing(cls, problems: Iterable[str], *, where: str | Path, fix: str | None = None) -> "BadInput":
        """One error that names every problem found, one a line, instead of the first only."""
        problems = list(problems)
        if len(problems) == 1:
            return cls(problems[0], where=where, fix=fix)
        lines = "".join(f"\n  - {problem}" for problem in problems)
        return cls(f"{len(problems)} problems{lines}", where=where, fix=fix)


class OverBudget(NfEdgeError):
    """The artifact does not fit the device's memory."""

    exit_code = 4
    reported = True


class AccuracyGate(NfEdgeError):
    """The artifact answers worse than the limit allows."""

    exit_code = 5
    reported = True


class MissingTool(NfEdgeError):
    """A compiler, toolchain, optional package or kernel is not on this machine."""

    exit_code = 6


class CannotRun(NfEdgeError):
    """This machine does not get through with it: memory or time ran out, or a runtime crashed."""

    exit_code = 6
