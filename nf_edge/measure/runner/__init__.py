"""Runs a model file in a small native process without Python and PyTorch.

Memory and time are measured on that process.  `native/` is its source, which also builds for a board; here it
is built at first use.  `run` returns the report of one process; a `TimedSession` and a `LogitsSession` keep
theirs between requests, so that several take part in interleaved rounds.  Measured and tested on Linux;
elsewhere the memory figures are zero.  `python_process` replaces the runner where it cannot be built.
"""

from nf_edge.measure.runner.build import Runtime, executable, executable_for, require_runner
from nf_edge.measure.runner.process import (
    Request,
    command_for,
    native_command,
    run,
    run_command,
    runner_options,
)
from nf_edge.measure.runner.result import RunResult, Stage
from nf_edge.measure.runner.runner_session import LogitsSession, TimedSession

__all__ = [
    "LogitsSession",
    "Request",
    "RunResult",
    "Runtime",
    "Stage",
    "TimedSession",
    "command_for",
    "executable",
    "executable_for",
    "native_command",
    "require_runner",
    "run",
    "run_command",
    "runner_options",
]
