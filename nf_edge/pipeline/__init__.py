"""The jobs: export, sweep, compare, mixed precision, generation and doctor; and the Python API.

Each job is one function that returns a value.  `render` makes the pages of jobs that write a folder.
"""
