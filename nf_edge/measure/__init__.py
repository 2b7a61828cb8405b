"""Measurements of a model file: accuracy, memory and latency, on this machine or on an emulated core."""
