"""Weights to codes and scales: calibration, rounding methods, and the quantizers of each runtime."""
