"""One module a verb: parse the command line, call the Python API, print what it returns."""
