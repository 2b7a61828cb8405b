"""Measuring in a fresh Python process, for machines where the native runner cannot be built.

Python and the runtime's bindings hold far more than the model, so only what comes on top of them counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nf_edge.backends.input_shape import InputShape
from nf_edge.measure.memory.measure import requests_at_the_largest
from nf_edge.measure.runner import TimedProcess
from nf_edge.measure.runner.python_process import python_command


@dataclass(frozen=True)
class NetMeasurement:
    """Bytes of a Python process: before the model was touched, and its peak on top of that."""

    baseline: int
    net_peak: int


def measure_in_python(
    backend: str, model: Path, input_shape: InputShape, input_ids: Sequence[int]
) -> NetMeasurement:
    """Load a model and run it on a row of tokens in a fresh Python process.

    Raises:
        NfEdgeError: the process failed.
    """
    with TimedProcess(python_command(backend, model, input_shape), model) as process:
        process.times(requests_at_the_largest(input_shape, input_ids))
        peak = process.finish().rss_peak_since_start
        return NetMeasurement(process.start.rss, peak - process.start.rss)
