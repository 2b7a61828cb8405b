"""The possible outcomes of a check whether an artifact fits a device's memory."""

from typing import Literal, get_args

Outcome = Literal["fits", "fits as far as known", "unknown", "over budget"]
# From the best to the worst.
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
# Outcomes that pass the memory gate.
FITTING: tuple[Outcome, ...] = ("fits", "fits as far as known")
