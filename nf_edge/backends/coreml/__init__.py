"""The backend for Core ML: the Neural Engine, GPU and CPU of iPhones, by ExecuTorch."""
