"""The arena that ExecuTorch plans for a program, counted from the model's shape without PyTorch."""
