"""Limits of Linux control groups: a process may have fewer CPUs or less memory than its machine."""

import math
from collections.abc import Callable
from pathlib import Path

CGROUPS, MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def lowest_limit(root: Path, membership: Path, controller: str, read: Callable[[Path], float]) -> float:
    """The lowest limit of a process's control groups and their parents; infinite if none has one.

    Args:
        root: the folder where the control groups are mounted.
        membership: the file that lists the process's groups, as /proc/self/cgroup does.
        controller: the controller in version 1 of control groups, such as `cpu`.
        read: returns the limit of one group's folder.
    """
    try:
        entries = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        return math.inf
    least = math.inf
    for _, controllers, name in entries:
        if controllers and controller not in controllers.split(","):
            continue
        top = root / controller if controllers else root
        group = top / name.lstrip("/")
        # In a container, the process's group is mounted at the root.
        for folder in {top, group, *(each for each in group.parents if top in each.parents)}:
            least = min(least, read(folder))
    return least


def memory_limit(folder: Path) -> float:
    """The memory limit of one control group (version 2 or 1), in bytes; infinite if the group has none."""
    for name in ("memory.max", "memory.limit_in_bytes"):
        try:
            return float((folder / name).read_text())
        except (OSError, ValueError):  # no such file; "max"
            continue
    return math.inf
