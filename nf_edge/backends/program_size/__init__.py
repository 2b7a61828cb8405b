"""Predict the bytes of a model file from the objects that its writer lays out, without PyTorch."""
