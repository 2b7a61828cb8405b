"""Limits of Linux control groups: a process may have fewer CPUs or less memory than its machine."""

import math
import re
from collections.abc import Callable
from pathlib import Path


def lowest_limit(controller: str, read: Callable[[Path], float], root: Path = Path("/")) -> float:
    """The lowest limit of this process's control groups and their parents; infinite if none has one.

    Args:
        controller: the controller in version 1 of control groups, such as `cpu`.
        read: returns the limit of one group's folder.
        root: the folder that has `proc` and `sys`.
    """
    try:
        entries = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return math.inf
    groups, least = root / "sys/fs/cgroup", math.inf
    for _, controllers, name in entries:
        if controllers and controller not in controllers.split(","):
            continue
        top = groups / controller if controllers else groups
        group = top / name.lstrip("/")
        # In a container, the process's group is mounted at the root.
        for folder in {top, group, *(each for each in group.parents if top in each.parents)}:
            least = min(least, read(folder))
    return least


def free_memory(folder: Path) -> float:
    """The bytes that one control group (version 2 or 1) can still have; infinite if it has no limit.

    Pages of files that nobody used lately do not count as used: Linux frees them first.
    """
    for limit, used in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        try:
            most = float(_text(folder / limit))
        except ValueError:  # no such file; "max"
            continue
        inactive = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
        taken = float(_text(folder / used) or 0) - (float(inactive[1]) if inactive else 0)
        return max(0.0, most - max(0.0, taken))
    return math.inf


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
