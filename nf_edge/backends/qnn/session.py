"""Open a session of ONNX Runtime with Qualcomm's plug-in.

Run as a script, this file opens one session and exits; opening a session compiles a context binary.  This
file imports nothing from nf-edge.
"""

import ast
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

PROVIDER = "QNNExecutionProvider"


def open_session(model: str | bytes, severity: int, entries: dict[str, str], options: dict[str, str]) -> Any:
    """Open a session from a model file or from its content.

    Args:
        severity: the lowest severity of log lines to write, from 0.
        entries: settings of the session.
        options: settings of the plug-in.
    """
    import onnxruntime
    import onnxruntime_qnn

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = severity
    for key, value in entries.items():
        settings.add_session_config_entry(key, value)
    backend = {"backend_path": onnxruntime_qnn.get_qnn_htp_path()}
    settings.add_provider_for_devices([_device()], backend | options)
    return onnxruntime.InferenceSession(model, settings)


@lru_cache
def _device() -> Any:
    """The device object of the HTP; the first call in a process loads the plug-in."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    return next(device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER)


if __name__ == "__main__":
    path, *settings = ast.literal_eval(sys.argv[1])
    # Pass the content instead of the path, because a hash of the path would become part of the graph's name.
    open_session(Path(path).read_bytes(), *settings)
