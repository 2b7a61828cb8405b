"""The Cortex-M backend."""
