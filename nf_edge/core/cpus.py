"""The number of CPUs that this process may use; it can be lower than the machine's."""

import math
import os
from pathlib import Path

from nf_edge.core.control_groups import lowest_limit


def allowed_cpus() -> int:
    """The number of CPUs that this process may use.

    It is the number of CPUs in the affinity mask, or the container's quota rounded up, whichever is lower.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(count, lowest_limit("cpu", cpu_quota))))


def cpu_quota(folder: Path) -> float:
    """The quota of one control group (version 2 or 1), in CPUs; infinite if the group has no quota."""
    try:
        if (folder / "cpu.max").is_file():
            allowed, period = (folder / "cpu.max").read_text().split()
        else:
            allowed = (folder / "cpu.cfs_quota_us").read_text().strip()
            period = (folder / "cpu.cfs_period_us").read_text()
        return float(allowed) / float(period) if allowed not in ("max", "-1") else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
