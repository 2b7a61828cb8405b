"""Accuracy of an artifact: compare its predictions with the checkpoint's on the same rows."""
