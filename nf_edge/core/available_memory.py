"""The memory that a process on this machine can still allocate."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")
# The limit of a container and its use, in bytes; "max" is no limit (cgroup v2).
LIMIT, USED = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")


def available_memory() -> int | None:
    """Bytes of memory and swap that are free or can be freed; None if this system does not say."""
    try:
        fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
        machine = 1024 * sum(int(fields[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, ValueError, KeyError, IndexError):
        return None
    try:
        return min(machine, max(int(LIMIT.read_text()) - int(USED.read_text()), 0))
    except (OSError, ValueError):
        return machine
