"""nf-edge: put a trained NoiseFormer on a phone, a board or a microcontroller."""

import os

# ONNX Runtime reports to its maker unless it is told not to before it is imported.  Nothing here does.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

__version__ = "0.1.0"
