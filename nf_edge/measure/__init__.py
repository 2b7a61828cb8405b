"""Runs a model file and returns figures: accuracy, memory, latency, on this machine or an emulated core."""
