"""The backend for OpenVINO, as a delegate of ExecuTorch."""
