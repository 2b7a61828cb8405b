"""The ONNX Runtime CPU backend, and code that the QNN backend shares."""
