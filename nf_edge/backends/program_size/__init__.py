"""Bytes of a model file, counted from the objects that its writer lays out.  Nothing here imports PyTorch."""
