"""Give memory that this process does not need now back to the system."""

import ctypes
import gc
import re
from pathlib import Path

SMAPS = Path("/proc/self/smaps")
# The first line of a mapping in smaps: its addresses and its file.
MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \d+ +(/.*)")
# From Linux's mman.h.
MADV_DONTNEED = 4


def release_pages(path: Path) -> None:
    """Release the pages of a file that is mapped into this process; later uses read them again.

    Locked pages are unlocked.  A mapping stays as it is if this process changed a page of it.  Other systems
    than Linux release nothing.
    """
    try:
        content, file = SMAPS.read_text(), str(path.resolve())
        unlock, release = ctypes.CDLL(None).munlock, ctypes.CDLL(None).madvise
    except (OSError, AttributeError):
        return
    mapping = None
    for line in content.splitlines():
        if match := MAPPING.fullmatch(line):
            mapping = (int(match[1], 16), int(match[2], 16)) if match[3] == file else None
        elif mapping and line.startswith("Anonymous:") and line.split()[1] == "0":
            start, size = ctypes.c_void_p(mapping[0]), ctypes.c_size_t(mapping[1] - mapping[0])
            unlock(start, size)
            release(start, size, MADV_DONTNEED)


def trim_heap() -> None:
    """Free objects that refer to each other, and return freed memory of glibc's heap to the system."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
