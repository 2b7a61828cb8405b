"""Runs an artifact in a small native process that has neither Python nor PyTorch in it.

That process is what memory and time are measured on: `native/` is its source, which also builds
for a board; here it is built at first use.  Measured and tested on Linux; elsewhere the memory
figures are zero.
"""

from nf_edge.runner.build import Runtime, executable
from nf_edge.runner.process import run
from nf_edge.runner.result import RunResult, Stage

__all__ = ["RunResult", "Runtime", "Stage", "executable", "run"]
