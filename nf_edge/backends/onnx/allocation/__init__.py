"""What ONNX Runtime's session allocates, counted allocation by allocation as its source code does.

`malloc` counts the C library's pages, `bfc_arena` the runtime's arena on top of them, `pattern` the memory
pattern of a run, `loading` a session's load, and `activations` its runs.
"""
