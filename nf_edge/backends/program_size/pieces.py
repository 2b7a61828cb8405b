"""Parse the text that says how many objects of each kind a part of a program has."""

from collections import Counter


def counts(text: str) -> Counter[str]:
    """Parse a text such as `call3:2 number:5` into the number of objects of each kind."""
    pairs = (pair.partition(":") for pair in text.split())
    return Counter({kind: int(number) for kind, _, number in pairs})
