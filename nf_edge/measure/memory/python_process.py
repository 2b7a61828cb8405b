"""Measure a model in a new Python process, for machines that cannot build the native runner.

Python and the runtime's bindings use far more memory than the model, so only the increase counts.
"""

from dataclasses import dataclass

from nf_edge.backends.runnable import Runnable
from nf_edge.measure.memory.measure import largest_requests
from nf_edge.measure.runner import TimedSession
from nf_edge.measure.runner.python_process import python_command


@dataclass(frozen=True)
class NetMeasurement:
    """Bytes of a Python process: before it reads the model, and the increase up to its peak."""

    baseline: int
    net_peak: int


def measure_in_python(runnable: Runnable) -> NetMeasurement:
    """Load a model and run it at its largest input in a new Python process.

    Raises:
        NfEdgeError: the process failed.
    """
    with TimedSession(python_command(runnable), runnable.file) as process:
        process.times(largest_requests(runnable))
        peak = process.finish().rss_peak_since_start
        return NetMeasurement(process.start.rss, peak - process.start.rss)
