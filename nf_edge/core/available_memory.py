"""The memory of this machine, and the part that a process can still have."""

import math
import re
from pathlib import Path

from nf_edge.core.control_groups import free_memory, lowest_limit

KIB = 2**10


def machine_memory(root: Path = Path("/")) -> dict[str, int]:
    """The sizes that Linux reports in /proc/meminfo, in bytes by name; empty on another system.

    Args:
        root: the folder that has `proc` and `sys`.
    """
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return {}
    return {name: int(size) * KIB for name, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)}


def available_memory(root: Path = Path("/"), *, swap: bool = True) -> int | None:
    """Bytes that a process can still have, within its control groups; None if this system does not say.

    Args:
        root: the folder that has `proc` and `sys`.
        swap: whether free swap counts.
    """
    sizes = machine_memory(root)
    if "MemAvailable" not in sizes:
        return None
    free = sizes["MemAvailable"] + (sizes.get("SwapFree", 0) if swap else 0)
    return math.floor(min(free, lowest_limit("memory", free_memory, root)))
