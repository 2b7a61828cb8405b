"""Read from a `.pte` which layer each operator, tensor and constant belongs to, and when tensors are used."""
