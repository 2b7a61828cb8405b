"""The machine that times were measured on."""

import re
from pathlib import Path


def cpu_name() -> str:
    """The model of the CPU as Linux on x86 reports it; "" elsewhere."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    match = re.search(r"^model name\s*:\s*(.+)$", info.read_text(errors="replace"), re.MULTILINE)
    return match[1].strip() if match else ""
