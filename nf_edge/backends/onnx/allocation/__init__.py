"""Simulate the memory that an ONNX Runtime session allocates, with the rules of its source code.

`malloc` simulates the C library's heap, and `bfc_arena` the runtime's arena on top of it.  `session` loads
`constants` and runs the operators of a `tape`, which `activations` describes.  `pattern` plans the block that
holds all activations of a run.
"""
