"""Default numbers that commands and the Python API share."""

# Rows for `sensitivity`, and for `check --on`: emulated cores are slow.
SENSITIVITY_ROWS, EMULATED_ROWS = 256, 100
# Rounds of each measurement of `bench`, and the fewest whose medians have an interval.
REPEATS, FEWEST_REPEATS = 20, 5
# Tokens that `generate` appends.
MAX_TOKENS = 100
