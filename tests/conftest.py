"""What several test files share: the command line, the specification's folder, the bundled cases."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from nf_edge.cli import main

TESTS = Path(__file__).parent
# The specification and its data, which stand beside a developer's checkout.
SHARED = TESTS.parent.parent / "shared"


class Finished(NamedTuple):
    """What a user sees of a command that ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch, capsys):
    """Call `nf-edge` with some arguments, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["nf-edge", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Finished(code, *capsys.readouterr())

    return call


@pytest.fixture
def case():
    """Path of one of the checkpoints in tests/cases, by name."""
    return lambda name: TESTS / "cases" / name
