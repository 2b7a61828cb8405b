"""The backend for Cortex-M microcontrollers: ExecuTorch with CMSIS-NN kernels."""
