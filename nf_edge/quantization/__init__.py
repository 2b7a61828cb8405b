"""Quantization of weights to codes and scales: calibration, rounding methods, and the quantizers of the
runtimes.
"""
