"""What a snippet of `RUN.md` opens a context binary with, on a phone or in the simulator."""

OPEN = """\
import os

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: the runtime reports to its maker otherwise
import onnxruntime
import onnxruntime_qnn

onnxruntime.register_execution_provider_library("QNNExecutionProvider", onnxruntime_qnn.get_library_path())
devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == "QNNExecutionProvider"]
options = onnxruntime.SessionOptions()
options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
options.add_provider_for_devices(devices[:1], {{"backend_path": onnxruntime_qnn.get_qnn_htp_path()}})
session = onnxruntime.InferenceSession("{file}", options)
"""
