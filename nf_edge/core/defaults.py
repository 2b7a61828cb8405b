"""Default numbers that the commands and the Python API share."""

# Default number of rows of `sensitivity`, and of `check --on` (fewer, because emulated cores are slow).
SENSITIVITY_ROWS, EMULATED_ROWS = 256, 100
# Default rounds of each measurement of `bench`, and the smallest number that gives medians an interval.
REPEATS, FEWEST_REPEATS = 20, 5
# Default number of tokens that `generate` appends.
MAX_TOKENS = 100
