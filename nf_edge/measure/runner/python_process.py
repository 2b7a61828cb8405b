"""A runner in Python for machines that cannot build the native one; its requests and output lines are the
same.

Run `python -m nf_edge.measure.runner.python_process BACKEND MODEL INPUT_SHAPE [--threads N] [--times]`;
INPUT_SHAPE is JSON.  Python and the runtime's bindings use far more memory than the model, so only memory
above the stage `start` counts.  Times include the bindings.  For an `.onnx` with a cache, they also include
copying the cache into the call.
"""

import argparse
import importlib.metadata
import re
import sys
import time
from dataclasses import asdict
from pathlib import Path

from nf_edge.backends import REGISTRY, load_backend
from nf_edge.backends.input_shape import InputShape
from nf_edge.backends.runnable import Runnable
from nf_edge.core import strict_json
from nf_edge.core.cpus import allowed_cpus
from nf_edge.core.errors import NfEdgeError
from nf_edge.model import Decoder


def python_command(runnable: Runnable, threads: int | None = None) -> list[str]:
    """The command that runs a model file in a Python process.

    Args:
        threads: size of the thread pool; None is the number of CPUs that this process may use.
    """
    command = [
        sys.executable,
        "-m",
        __name__,
        # The location of the backend's class makes the process independent of the registry.
        REGISTRY[runnable.backend.name].location,
        str(runnable.file),
        strict_json.dumps(asdict(runnable.input_shape), indent=None),
    ]
    return command if threads is None else [*command, "--threads", str(threads)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("backend")
    parser.add_argument("model", type=Path)
    parser.add_argument("input_shape", type=lambda text: InputShape(**strict_json.loads(text)))
    parser.add_argument("--threads", type=int, default=allowed_cpus())
    parser.add_argument("--times", action="store_true")
    options = parser.parse_args()
    try:
        _serve(options.backend, options.model, options.input_shape, options.threads, options.times)
    except NfEdgeError as error:
        sys.stderr.write(f"{error.what}\n")
        sys.exit(error.exit_code)


def _serve(location: str, model: Path, input_shape: InputShape, threads: int, times: bool) -> None:
    """Load a model and run the requests from stdin until it ends; print the results as JSON lines.

    Args:
        location: the class of the backend, as `module:class`.
        threads: size of the thread pool.
        times: print only the time of each request, not its logits.
    """
    import numpy as np

    backend = load_backend(location)
    backend.warm_up()
    version = importlib.metadata.version(backend.runtime)
    _reset_peak()
    _print_stage("start", 0.0, runtime=backend.runtime, version=version, threads=threads)
    began = time.perf_counter()
    loaded = backend.load(model, input_shape, threads)
    _print_stage("method_loaded", _ms_since(began))
    began = time.perf_counter()
    while line := sys.stdin.readline():
        ids, second = ([int(word) for word in text.split()] for text in (line, sys.stdin.readline()))
        row, mask = (np.array(each, dtype=np.int64).reshape(input_shape.rows, -1) for each in (ids, second))
        called = time.perf_counter()
        logits = loaded.feed(ids, second[0]) if isinstance(loaded, Decoder) else loaded.run(row, mask)
        entry: dict[str, object] = {"run_ms": _ms_since(called)}
        if not times:
            entry |= {
                "shape": logits.shape,
                "logits": [strict_json.number(each) for each in logits.ravel().tolist()],
            }
        print(strict_json.dumps(entry, indent=None), flush=True)
    _print_stage("finished", _ms_since(began))


def _ms_since(began: float) -> float:
    return 1e3 * (time.perf_counter() - began)


def _reset_peak() -> None:
    """Reset the peak of resident memory, if the system allows it."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")


def _print_stage(name: str, elapsed_ms: float, **more: str | int) -> None:
    """Print a stage as a JSON line, with memory in bytes from /proc; a figure is 0 if /proc lacks it.

    Args:
        more: further keys of the line, such as the runtime's version.
    """
    status = Path("/proc/self/status")
    text = status.read_text() if status.exists() else ""
    kilobytes = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
    rss, anon, peak = (1024 * kilobytes.get(key, 0) for key in ("VmRSS", "RssAnon", "VmHWM"))
    figures = {
        "rss": rss,
        "rss_anon": anon,
        "library_rss_anon": 0,
        "rss_file": rss - anon,
        "model_mapped_rss": 0,
        "heap_in_use": 0,
        "rss_peak": peak,
        "rss_peak_since_start": peak,
        "rss_peak_of_stage": peak,
        "peak_was_reset": bool(text),
    }
    print(
        strict_json.dumps({"stage": name, **more, **figures, "elapsed_ms": elapsed_ms}, indent=None),
        flush=True,
    )


if __name__ == "__main__":
    main()
