"""The QNN backend."""
