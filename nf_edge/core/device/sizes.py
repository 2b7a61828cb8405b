"""Sizes in bytes as text, such as `512 MiB`."""

import re

UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def parse_size(text: object) -> int:
    """The number of bytes in a size such as `512 MiB` (MiB: 2²⁰ bytes) or `8 GB` (GB: 10⁹ bytes).

    Raises:
        ValueError: the text is not a whole number, a space and one of `UNITS`.  A number without a unit is
            refused, because it is ambiguous.
    """
    match = re.fullmatch(rf"([0-9]{{1,40}}) ({'|'.join(UNITS)})", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(
            "must be a whole number, a space and a unit, such as 512 MiB; "
            "the units are B, kB, MB, GB (powers of 1000) and KiB, MiB, GiB (powers of 1024)"
        )
    return int(match[1]) * UNITS[match[2]]


def format_size(count: int) -> str:
    """A number of bytes as exact text, such as `512 MiB` for 536,870,912.

    Of the units in `UNITS` that give a whole number, it uses the one with the smallest number.
    """
    number, unit = min((count // size, unit) for unit, size in UNITS.items() if count % size == 0)
    return f"{number} {unit}"
