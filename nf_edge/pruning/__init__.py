"""A checkpoint → a smaller checkpoint: prune, recover, provenance."""
