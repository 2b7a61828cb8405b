"""The backend for QNN: the NPU of Snapdragon chips, by ONNX Runtime."""
