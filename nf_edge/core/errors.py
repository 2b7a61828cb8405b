"""The errors that a user can see, each with an exit code.

An exception that is not an `NfEdgeError` is a bug in nf-edge (exit code 1).  Click reports wrong usage of the
command line (exit code 2).
"""

from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from typing import Any

# What to do if an artifact's files are missing or damaged.
EXPORT_AGAIN = "export the artifact again"
# Limits of an error's length: a file may have many problems, and libraries quote bad values in full.
MOST_PROBLEMS, MOST_CHARACTERS = 20, 8000
_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2


class NfEdgeError(Exception):
    """A message for the user: what is wrong, where, and how to fix it."""

    exit_code = 1
    reported = False
    """Whether the command has printed the report of the job that failed."""

    def __init__(self, what: str, *, where: str | Path | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where = shortened(what, MOST_CHARACTERS), where
        self.fix = shortened(fix, MOST_CHARACTERS // 4) if fix else None

    def __str__(self) -> str:
        text = f"{one_line(str(self.where))}: {self.what}" if self.where else self.what
        return printable(f"{text}\n  {self.fix}" if self.fix else text)


class BadInput(NfEdgeError):
    """A recipe, device, checkpoint, artifact or data file that cannot be used."""

    exit_code = 3

    @classmethod
    def listing(cls, problems: Iterable[str], *, where: str | Path, fix: str | None = None) -> "BadInput":
        """One error that lists the problems, one per line.  After twenty, only the number of remaining
        problems is given.

        Args:
            where: the file or folder with the problems.
            fix: how to solve them; None: the error has no fix.
        """
        problems = list(problems)
        shown = [
            shortened(problem, MOST_CHARACTERS // MOST_PROBLEMS - 20) for problem in problems[:MOST_PROBLEMS]
        ]
        if len(problems) == 1:
            return cls(shown[0], where=where, fix=fix)
        if len(problems) > MOST_PROBLEMS:
            shown.append(f"and {len(problems) - MOST_PROBLEMS:,} more")
        lines = "".join(f"\n  - {problem}" for problem in shown)
        return cls(f"{len(problems):,} problems{lines}", where=where, fix=fix)


class OverBudget(NfEdgeError):
    """The artifact does not fit the device's memory."""

    exit_code = 4


class AccuracyGate(NfEdgeError):
    """The artifact loses more accuracy than the limit allows."""

    exit_code = 5


class MissingTool(NfEdgeError):
    """A compiler, toolchain, optional package or kernel is missing on this machine."""

    exit_code = 6


class CannotRun(NfEdgeError):
    """This machine could not finish: memory or time ran out, or a runtime crashed."""

    exit_code = 6


def quoted(value: Any) -> str:
    """The `repr` of a value for a message, shortened if it is long."""
    try:
        return _REPR.repr(value)
    except ValueError:  # Python refuses to print integers of more than 4300 digits.
        return f"a very large {type(value).__name__}"


def shortened(text: str, most: int) -> str:
    """The text, with its middle cut out if it has more than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 4]} … {text[-most // 4 :]}"


def printable(text: str) -> str:
    """The text with every control character except line breaks written as an escape."""
    return "\n".join(map(one_line, text.split("\n")))


def one_line(text: str) -> str:
    """The text with every control character, also a line break, written as an escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
