"""The jobs: export, sweep, compare, mixed precision, generation, doctor; and the Python API over them.

Each job is one readable function that returns a value.  A job that writes a folder takes
its page from `render`.
"""
