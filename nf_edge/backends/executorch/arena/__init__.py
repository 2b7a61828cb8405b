"""Predict, without PyTorch, the arena that ExecuTorch plans for a program's activations."""
