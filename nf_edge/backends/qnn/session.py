"""A session of ONNX Runtime with Qualcomm's plug-in.

As a script, which imports nothing of nf-edge, it makes one session and ends: that compiles a context binary.
"""

import ast
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

PROVIDER = "QNNExecutionProvider"


def open_session(model: str | bytes, severity: int, entries: dict[str, str], options: dict[str, str]) -> Any:
    """A session of a model file, or of its content.

    Args:
        severity: of the least log lines that are written, from 0 on.
        entries: settings of the session.
        options: of the plug-in.
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
    """The device of the HTP; a process loads the plug-in once."""
    import onnxruntime
    import onnxruntime_qnn

    onnxruntime.register_execution_provider_library(PROVIDER, onnxruntime_qnn.get_library_path())
    return next(device for device in onnxruntime.get_ep_devices() if device.ep_name == PROVIDER)


if __name__ == "__main__":
    path, *settings = ast.literal_eval(sys.argv[1])
    # As content: of a file its path would go into the name of the graph, hashed.
    open_session(Path(path).read_bytes(), *settings)
