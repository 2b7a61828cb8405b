"""ONNX Runtime on the CPU, and what other backends that lower to ONNX share."""
