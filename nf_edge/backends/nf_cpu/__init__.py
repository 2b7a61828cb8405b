"""The backend that runs nf-edge's kernels with ExecuTorch and XNNPACK."""
