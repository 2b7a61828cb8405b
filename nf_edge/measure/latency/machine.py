"""What a time depends on besides the artifact."""

import re
from pathlib import Path


def cpu_name() -> str:
    """The CPU's model as Linux on x86 tells it, or ""."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return ""
    found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(errors="replace"), re.MULTILINE)
    return found[1].strip() if found else ""
