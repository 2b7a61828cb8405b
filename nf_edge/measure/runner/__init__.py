"""Run a model file in a small native process without Python and PyTorch.

Memory and time are measured in that process.  `native/` contains its source code, which also builds for a
board.  On this machine it is built at the first use.  `run_command` returns the report of one process.  A
`TimedSession` or a `LogitsSession` keeps its process between requests, so that several processes can run in
interleaved rounds.  The runner is measured and tested on Linux; on other systems the memory figures are zero.
`python_process` replaces the runner if it cannot be built.
"""

from nf_edge.measure.runner.build import Runtime, executable, executable_for, require_runner
from nf_edge.measure.runner.process import (
    Request,
    command_for,
    native_command,
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
    "run_command",
    "runner_options",
]
