"""Default numbers of rows, rounds and tokens, which the commands and the Python API share."""

# Default numbers of rows: for `sensitivity`, and for `check --on` (fewer, because emulated cores are slow;
# more if a limit needs them).
SENSITIVITY_ROWS, EMULATED_ROWS = 256, 100
# Default number of rows of `check --layers`, which runs three models per row.
LAYER_ROWS = 32
# Default number of rounds of `bench`, and the fewest rounds that give a median a confidence interval.
REPEATS, FEWEST_REPEATS = 20, 5
# Default number of tokens that `generate` appends.
MAX_TOKENS = 100
