"""Quantization of weights to codes and scales: calibration, rounding methods, and the runtimes'
quantizers.
"""
