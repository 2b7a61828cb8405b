"""Default numbers that commands and the Python API share."""

# Rows that `sensitivity` compares answers on, and that `check --on` runs: emulated cores are slow.
SENSITIVITY_ROWS, EMULATED_ROWS = 256, 100
# Rounds of each measurement of `bench`, and the fewest whose medians have an interval.
REPEATS, FEWEST_REPEATS = 20, 5
# Tokens that `generate` appends.
MAX_TOKENS = 100
