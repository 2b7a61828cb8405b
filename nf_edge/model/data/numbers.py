"""The `numbers` data set: pairs of a number in digits and a number in words, and how they compare.

The pair `4071`, `four thousand and eighty-one` is `less`: the first number is smaller.  Numbers have up to
four digits.  Two different numbers of a pair differ in one digit, and each first number occurs once with each
label.
"""

from typing import Any

import numpy as np

COUNTS = {"train": 3000, "valid": 500, "test": 1000}
LABELS = ("less", "equal", "greater")
DIGITS = 4
# fmt: off
SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
# fmt: on


def numbers(split: str) -> list[dict[str, Any]]:
    """The rows of a split: {"text": digits, "text_pair": words, "label": a name of `LABELS`}.

    No first number is in two splits, so `test` has numbers that training never showed in digits.
    """
    # RandomState gives the same numbers in every NumPy version, so a split always has the same rows.
    random = np.random.RandomState(0)
    # The largest and the smallest number are left out: no other number is larger or smaller.
    order = random.permutation(np.arange(1, 10**DIGITS - 1))
    ends = np.cumsum(list(COUNTS.values()))
    end = ends[list(COUNTS).index(split)]
    random = np.random.RandomState(int(end))
    return [row for first in order[end - COUNTS[split] : end].tolist() for row in _rows(first, random)]


def in_words(number: int) -> str:
    """A number from 0 to 9,999 in British English."""
    if number < len(SMALL):
        return SMALL[number]
    if number < 100:
        tens, rest = divmod(number, 10)
        return TENS[tens - 2] + (f"-{SMALL[rest]}" if rest else "")
    unit, name = (1000, "thousand") if number >= 1000 else (100, "hundred")
    count, rest = divmod(number, unit)
    joint = " and " if rest < 100 else " "
    return f"{SMALL[count]} {name}" + (joint + in_words(rest) if rest else "")


def _rows(first: int, random: np.random.RandomState) -> list[dict[str, Any]]:
    others = [
        first + (digit - first // unit % 10) * unit
        for unit in (10**place for place in range(DIGITS))
        for digit in range(10)
    ]
    larger = [other for other in others if other > first]
    smaller = [other for other in others if other < first]
    seconds = (larger[random.randint(len(larger))], first, smaller[random.randint(len(smaller))])
    return [
        {"text": str(first), "text_pair": in_words(second), "label": label}
        for label, second in zip(LABELS, seconds, strict=True)
    ]
