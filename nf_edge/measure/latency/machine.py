"""The name of the machine's CPU, for latency reports."""

import re
from pathlib import Path


def cpu_name() -> str:
    """The CPU model as Linux on x86 reports it; "" on other systems."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(errors="replace"), re.MULTILINE)
    return match[1].strip() if match else ""
