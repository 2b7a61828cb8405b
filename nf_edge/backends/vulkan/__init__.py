"""The backend for Vulkan: the GPU of phones, by ExecuTorch."""
