"""Code shared by the backends that lower to ExecuTorch."""
