"""The paragraph of `RUN.md` about heap that loading frees and the C library keeps."""

from nf_edge.artifact.manifest import Manifest
from nf_edge.core.figures import format_bytes

PART = "free heap after load"
WHERE = {"measured": "measured on the machine that exported it"}
# Fewer bytes are not worth a call.
WORTH_A_CALL = 1_000_000
TRIM = """\
Loading leaves {bytes} of free heap in memory ({how}). With glibc, an application returns it when it calls
`malloc_trim(0)` right after it created the session: `ctypes.CDLL(None).malloc_trim(0)` in Python,
`#include <malloc.h>` in C and C++. The runs then take a part of it again. Other C libraries do not have this
function.
"""


def free_heap_text(manifest: Manifest) -> str:
    """The paragraph that says how to return the free heap; "" if it is below 1 MB or of unknown size."""
    (line,) = (line for line in manifest.reports["memory"]["process"] if line["name"] == PART)
    for figure in (line["measured"], line["planned"], line["predicted"]):
        if (size := figure["value"]) is not None:
            how = WHERE.get(figure["how"], figure["how"])
            return f"\n{TRIM.format(bytes=format_bytes(size), how=how)}" if size >= WORTH_A_CALL else ""
    return ""
