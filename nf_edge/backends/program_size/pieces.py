"""Numbers of objects in parts of a program."""

from collections import Counter


def counts(text: str) -> Counter[str]:
    """Parse numbers of objects, such as `call3:2 number:5`."""
    pairs = (pair.partition(":") for pair in text.split())
    return Counter({kind: int(number) for kind, _, number in pairs})
