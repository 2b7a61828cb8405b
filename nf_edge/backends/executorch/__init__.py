"""What all backends that lower to ExecuTorch share."""
