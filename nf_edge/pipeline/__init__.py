"""The jobs: export, sweep, compare, mixed precision, generation and doctor; and the Python API.

Each job is one function that returns a value.  Jobs that write a folder get their HTML page from `render`.
"""
