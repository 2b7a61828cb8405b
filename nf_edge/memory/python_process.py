"""Measuring in a fresh Python process, for machines where the native runner cannot be built.

The process itself is `python -m nf_edge.memory.python_process BACKEND MODEL`, bounds and ids on stdin.
Python and the runtime's bindings hold far more than the model, so only what comes on top of them counts.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from nf_edge.backends.base import Bounds
from nf_edge.errors import NfEdgeError


@dataclass(frozen=True)
class NetMeasurement:
    """Bytes of a Python process: before the model was touched, and its peak on top of that."""

    baseline: int
    net_peak: int


def measure_in_python(backend: str, model: Path, bounds: Bounds, input_ids: Sequence[int]) -> NetMeasurement:
    """Load a model and run it on a row of tokens in a fresh Python process.

    Raises:
        NfEdgeError: the process failed.
    """
    command = [sys.executable, "-m", __name__, backend, str(model)]
    work = json.dumps({"bounds": asdict(bounds), "input_ids": list(input_ids)})
    done = subprocess.run(command, input=work, capture_output=True, text=True)
    if done.returncode != 0:
        raise NfEdgeError(f"measuring in Python failed: {done.stderr[-1000:]}", where=model)
    return NetMeasurement(**json.loads(done.stdout.splitlines()[-1]))


def _main() -> None:
    import numpy as np

    from nf_edge.backends import get_backend
    from nf_edge.model import Decoder

    name, model = sys.argv[1:]
    backend = get_backend(name)
    backend.warm_up()
    work = json.load(sys.stdin)
    bounds, row = Bounds(**work["bounds"]), work["input_ids"]
    ids = np.array([row], dtype=np.int64)
    # Linux: makes the peak start again from here.
    Path("/proc/self/clear_refs").write_text("5")
    baseline = _status("VmRSS")
    loaded = backend.load(Path(model), bounds)
    for _ in range(3):
        if isinstance(loaded, Decoder):
            loaded.feed(row, 0)
            loaded.feed(row[-1:], len(row) - 1)
        else:
            loaded.run(ids, np.ones_like(ids))
    print(json.dumps({"baseline": baseline, "net_peak": _status("VmHWM") - baseline}))


def _status(key: str) -> int:
    """A figure of /proc/self/status, in bytes."""
    match = re.search(rf"^{key}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    if match is None:
        raise NfEdgeError(f"this system does not tell {key}")
    return int(match[1]) * 1024


if __name__ == "__main__":
    _main()
