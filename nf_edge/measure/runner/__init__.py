"""Runs an artifact in a small native process that has neither Python nor PyTorch in it.

That process is what memory and time are measured on: `native/` is its source, which also builds
for a board; here it is built at first use.  `run` takes its whole report; a `TimedProcess` and an
`AskedProcess` stay, and can be asked turn about with others.  Measured and tested on Linux; elsewhere the
memory figures are zero.  Where the native one cannot be built, `python_process` stands in for it.
"""

from nf_edge.measure.runner.build import Runtime, executable, executable_for
from nf_edge.measure.runner.process import Request, native_command, run, run_command, runner_options
from nf_edge.measure.runner.result import RunResult, Stage
from nf_edge.measure.runner.runner_session import AskedProcess, TimedProcess

__all__ = [
    "AskedProcess",
    "Request",
    "RunResult",
    "Runtime",
    "Stage",
    "TimedProcess",
    "executable",
    "executable_for",
    "native_command",
    "run",
    "run_command",
    "runner_options",
]
