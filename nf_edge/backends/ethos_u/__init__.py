"""The backend for Ethos-U, the NPUs of microcontrollers and small boards, by ExecuTorch and Vela."""
